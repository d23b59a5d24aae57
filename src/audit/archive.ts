/** A ledger read from its folder, or its log from a database, by whoever replays, looks up or forgets; its server may run meanwhile. */

import { ClawError } from "../base/mod.ts";
import { LogReader } from "../ledger/mod.ts";
import {
  type CloseEntry,
  type Entry,
  type OpenEntry,
  type ProgressEntry,
  parseEntry,
} from "../records/mod.ts";
import { ledgerPaths } from "./folders.ts";
import { RANGE_MAX, STREAM_REACH_MAX } from "./limits.ts";
import { storedAt } from "./log-place.ts";
import { Vault } from "./vault.ts";
import { readVaultKey } from "./vault-key.ts";

/** An entry that says what was drawn so far, and the one that says for which request. */
export interface StreamState {
  readonly index: number;
  readonly entry: CloseEntry | ProgressEntry;
  readonly statement: CloseEntry | OpenEntry;
}

export class Archive {
  readonly vault: Vault;
  readonly #log: LogReader;

  /**
   * `postgres`: the URL of the database that keeps the log, where the folder does not. Errors: E_LEDGER where there is no
   * ledger, or its keys may not be read.
   */
  static async open(folder: string, postgres?: string): Promise<Archive> {
    const paths = ledgerPaths(folder);
    const log = await LogReader.open(storedAt(folder, postgres));
    return new Archive(log, new Vault(paths.vault, readVaultKey(paths.vaultKey)));
  }

  private constructor(log: LogReader, vault: Vault) {
    this.#log = log;
    this.vault = vault;
  }

  get size(): number {
    return this.#log.size;
  }

  /** Errors: E_PARAMETER when there is none, E_ENTRY, E_LEDGER. */
  async entry(index: number): Promise<Entry> {
    return parseEntry(await this.#log.entry(index));
  }

  /** The bytes of the entries [first, end). Errors: those of `entry`. */
  async entries(first: number, end: number): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for (let index = first; index < end; index++) found.push(await this.#log.entry(index));
    return found;
  }

  /** What a stream had come to at an entry. Errors: E_PARAMETER for an open entry: nothing was drawn then. */
  async state(index: number): Promise<StreamState> {
    const entry = await this.entry(index);
    if (entry.kind === "close") return { index, entry, statement: entry };
    if (entry.kind === "progress") return { index, entry, statement: await this.#openOf(entry, index) };
    throw new ClawError(
      "E_PARAMETER",
      `Entry ${index} opens a stream and says nothing of tokens; name a later one of the stream.`,
    );
  }

  /**
   * The last entries from `first` to before `end` of each stream that has tokens there: of those that ended the close entry,
   * of those that were cut off the last progress entry. Errors: E_PARAMETER.
   */
  async lastOfStreams(first: number, end: number): Promise<number[]> {
    if (!(first >= 0 && first < end && end <= this.size && end - first <= RANGE_MAX)) {
      const message = `The range is ${first} to ${end}; the ledger has ${this.size} entries, and ${RANGE_MAX} may be looked at.`;
      throw new ClawError("E_PARAMETER", message);
    }
    const last = new Map<string, number>();
    for (let index = first; index < end; index++) {
      const { kind, stream } = await this.entry(index);
      if (kind !== "open") last.set(stream, index);
    }
    return [...last.values()];
  }

  async #openOf({ stream }: ProgressEntry, index: number): Promise<OpenEntry> {
    const end = Math.max(0, index - STREAM_REACH_MAX);
    for (let before = index - 1; before >= end; before--) {
      const entry = await this.entry(before);
      if (entry.kind === "open" && entry.stream === stream) return entry;
    }
    throw new ClawError("E_LEDGER", `The ledger has no open entry of the stream ${stream} before ${index}.`);
  }
}
