/** I/O: the root that names the model that is served, in the ledger's entries and to capability tokens. */

import { statSync } from "node:fs";
import { contentDigest, type ModelSeal } from "../model/mod.ts";
import type { Log } from "../server/mod.ts";

export interface NamedRoot {
  readonly root: string;
  readonly source: "seal" | "file-sha256";
}

/**
 * The root of a seal that is verified while the model is loaded, or else the SHA-256 of the model file, which is read once
 * for everybody who asks. Make it before the file is opened: one that was changed between that and the end of measuring may
 * be another than was loaded, and has no root.
 */
export class ServedRoot {
  readonly #path: string;
  readonly #log: Log;
  readonly #before: string | undefined;
  readonly #ended = new AbortController();
  #found: Promise<NamedRoot | undefined> | undefined;

  constructor(path: string, seal: ModelSeal | undefined, log: Log) {
    this.#path = path;
    this.#log = log;
    if (seal !== undefined) this.#found = Promise.resolve({ root: seal.root, source: "seal" });
    this.#before = signsOf(path);
  }

  /** Undefined where the model has none. Never fails. */
  find(): Promise<NamedRoot | undefined> {
    this.#found ??= this.#measure();
    return this.#found;
  }

  /** Measures no further. */
  close(): void {
    this.#ended.abort();
  }

  async #measure(): Promise<NamedRoot | undefined> {
    const digest = await contentDigest(this.#path, this.#ended.signal).catch(() => undefined);
    if (digest !== undefined && this.#before !== undefined && signsOf(this.#path) === this.#before) {
      return { root: digest, source: "file-sha256" };
    }
    if (this.#ended.signal.aborted) return undefined;
    const model = this.#path;
    this.#log.warn({ model }, "The model file was changed while it was read: the model has no root.");
    return undefined;
  }
}

/** What changes when a file is replaced or written to; undefined where it cannot be looked at. */
function signsOf(path: string): string | undefined {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch {
    return undefined;
  }
}
