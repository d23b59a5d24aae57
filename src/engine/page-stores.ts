/** Where an engine keeps copies of pages, by its settings. */

import { ARITHMETIC_VERSION, type KvFormat } from "../kernels/mod.ts";
import { identify, openModelFile } from "../model/mod.ts";
import { FolderPageStore } from "./folder-page-store.ts";
import { LayeredPageStore } from "./layered-page-store.ts";
import { MemoryPageStore, type PageStore } from "./page-store.ts";
import type { EngineSettings } from "./settings.ts";

/** Undefined where none are kept. `onForgotten` is told of every page that is gone. Errors: E_CONFIG, E_FILE. */
export function pageStoreOf(
  settings: EngineSettings,
  kvFormat: KvFormat,
  onForgotten: () => void,
): PageStore | undefined {
  const { copyBytes: bytesMax = 0, copyFolder: folder } = settings;
  if (bytesMax === 0) return undefined;
  if (folder === undefined) return new MemoryPageStore(bytesMax, onForgotten);
  const identity = identityOf(settings, kvFormat);
  const shared = new FolderPageStore({ folder, identity, bytesMax, onForgotten });
  return new LayeredPageStore(new MemoryPageStore(bytesMax), shared);
}

/** What the pages of all servers follow from that serve this model in this form. */
function identityOf({ model, seal, copyRoot, format }: EngineSettings, kvFormat: KvFormat): string {
  const file = openModelFile(model);
  try {
    const identity = identify(file);
    // The sample, too, lest the file was replaced since its root was measured.
    const measured = copyRoot === undefined ? identity : [copyRoot, identity.sample];
    return JSON.stringify([ARITHMETIC_VERSION, seal?.root ?? measured, format, kvFormat]);
  } finally {
    file.close();
  }
}
