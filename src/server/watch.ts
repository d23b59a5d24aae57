/** I/O: a file watched for changes, also where it is replaced by another of its name. */

import { watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Several events come with one change; a file is looked at when none has come for so long, in milliseconds. */
const SETTLED_MS = 150;

export interface WatchListeners {
  readonly onChange: () => void;
  /** The system does not watch, or does not go on to. */
  readonly onError: (error: unknown) => void;
}

/** Watches until what it returns is called. Editors write a new file and rename it, so it is the folder that is watched. */
export function watchFile(path: string, { onChange, onError }: WatchListeners): () => void {
  let timer: NodeJS.Timeout | undefined;
  const changed = (_: string, name: string | null): void => {
    // A mounted volume changes as a whole, by a link whose name begins with two dots.
    if (name !== null && name !== basename(path) && !name.startsWith("..")) return;
    clearTimeout(timer);
    timer = setTimeout(onChange, SETTLED_MS);
  };
  try {
    const watcher = watch(dirname(path), { persistent: false }, changed).on("error", onError);
    return () => {
      clearTimeout(timer);
      watcher.close();
    };
  } catch (error) {
    onError(error);
    return () => {};
  }
}
