/** A log's entries read from its storage by their indexes. */

import { ClawError } from "../base/mod.ts";
import { readCheckpoint } from "./audit.ts";
import { READ_TRIES_MAX, TILE_WIDTH } from "./limits.ts";
import type { StoredLog } from "./stored-log.ts";
import { decodeBundle, tilePath } from "./tiles.ts";

export class LogReader {
  readonly #storage: StoredLog;
  /** Entries in full bundles. */
  readonly #bundled: number;
  /** Those behind them. */
  readonly #rest: readonly Uint8Array[];
  #last: { readonly bundle: number; readonly entries: readonly Uint8Array[] } | undefined;

  /** The log as it is now. Nothing is verified: `auditLog` does. Errors: E_LEDGER where there is none, or a damaged one. */
  static async open(storage: StoredLog): Promise<LogReader> {
    for (let tries = 1; ; tries++) {
      const { size } = await readCheckpoint(storage);
      const bundled = Math.floor(size / TILE_WIDTH) * TILE_WIDTH;
      const rest: Uint8Array[] = [];
      try {
        await storage.replay(bundled, (entry) => rest.push(entry));
        return new LogReader(storage, bundled, rest);
      } catch (error) {
        // The server may have published and removed what was being read.
        if (tries === READ_TRIES_MAX) throw error;
      }
    }
  }

  private constructor(storage: StoredLog, bundled: number, rest: readonly Uint8Array[]) {
    this.#storage = storage;
    this.#bundled = bundled;
    this.#rest = rest;
  }

  get size(): number {
    return this.#bundled + this.#rest.length;
  }

  /** Errors: E_PARAMETER when there is no such entry, E_LEDGER when its bundle is damaged. */
  async entry(index: number): Promise<Uint8Array> {
    const inBundle = index < this.#bundled;
    const entries = inBundle ? await this.#bundle(Math.floor(index / TILE_WIDTH)) : this.#rest;
    const entry = entries[inBundle ? index % TILE_WIDTH : index - this.#bundled];
    if (entry !== undefined) return entry;
    throw new ClawError("E_PARAMETER", `The ledger has ${this.size} entries and none with index ${index}.`);
  }

  async #bundle(bundle: number): Promise<readonly Uint8Array[]> {
    if (this.#last?.bundle === bundle) return this.#last.entries;
    const path = tilePath({ level: "entries", index: bundle, width: TILE_WIDTH });
    const entries = decodeBundle((await this.#storage.read(path)) ?? new Uint8Array());
    if (entries?.length !== TILE_WIDTH) throw new ClawError("E_LEDGER", `The ledger's ${path} is damaged.`);
    this.#last = { bundle, entries };
    return entries;
  }
}
