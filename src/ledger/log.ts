/**
 * The log: gives entries their places, keeps them, and publishes tiles and signed checkpoints (C2SP tlog-tiles).
 *
 * `add` resolves when the entry is durable in the journal: its index is then final. Publishing follows apart: bundles
 * and tiles first, the checkpoint over them last, so that whoever reads a checkpoint finds all below it. A crash at any
 * point leaves a journal that continues the published tree.
 */

import { assert, ClawError } from "../base/mod.ts";
import {
  type Checkpoint,
  concat,
  formatCheckpoint,
  leafHash,
  type NoteSigner,
  type NoteVerifier,
  signNote,
  utf8,
} from "../crypto/mod.ts";
import { BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, ENTRY_BYTES_MAX, PENDING_MAX, TILE_WIDTH } from "./limits.ts";
import { type Recovered, recover } from "./recovery.ts";
import type { LogStorage } from "./storage/mod.ts";
import { decodeBundle, encodeBundle, newTiles, type TileName, tilePath, tileWidth } from "./tiles.ts";
import type { TreeEdge } from "./tree-edge.ts";

export interface LogOptions {
  readonly storage: LogStorage;
  /** The log's name, on the first line of its checkpoints. */
  readonly origin: string;
  readonly signers: readonly NoteSigner[];
  /** The same keys, to check what is found in the storage. */
  readonly verifiers: readonly NoteVerifier[];
}

/** Where an entry stands. */
export interface Placed {
  readonly index: number;
  readonly leaf: Uint8Array;
}

interface Pending {
  readonly entry: Uint8Array;
  readonly resolve: (placed: Placed) => void;
  readonly reject: (error: unknown) => void;
}

export class Log {
  readonly #options: LogOptions;
  readonly #edge: TreeEdge;
  /** What is durable and not in a published full bundle yet: the entries from #bundled on. */
  readonly #entries: Uint8Array[];
  #bundled: number;
  /** Tiles filled and not yet published. */
  readonly #full = new Map<string, Uint8Array>();
  #published: Checkpoint;
  #note: string;
  #pending: Pending[] = [];
  #committing: Promise<void> | undefined;
  #publishing: Promise<void> | undefined;
  #cosigning: Promise<void> | undefined;
  #failure: ClawError | undefined;

  private constructor(options: LogOptions, recovered: Recovered) {
    this.#options = options;
    this.#edge = recovered.edge;
    this.#entries = recovered.entries;
    this.#bundled = recovered.bundled;
    this.#published = recovered.published;
    this.#note = recovered.note;
  }

  /** Opens the log in its storage, or begins it there. Errors: E_LEDGER, E_NOTE for what was altered behind its back. */
  static async open(options: LogOptions): Promise<Log> {
    const { storage } = options;
    try {
      await storage.open();
      const log = new Log(options, await recover(options));
      await storage.replay(log.size, (entry) => log.#place(entry));
      await log.publish();
      return log;
    } catch (error) {
      await storage.close().catch(() => {}); // the first failure is the one to hear of
      throw error;
    }
  }

  /** Entries that are durable. */
  get size(): number {
    return this.#edge.size;
  }

  /** The last published checkpoint. */
  get checkpoint(): Checkpoint {
    return this.#published;
  }

  /** The same, signed. */
  get signedCheckpoint(): string {
    return this.#note;
  }

  /** Adds an entry. Errors: E_PARAMETER when it is too long, E_OVERLOADED, E_LEDGER when the storage refuses. */
  add(entry: Uint8Array): Promise<Placed> {
    if (entry.length === 0 || entry.length > ENTRY_BYTES_MAX) {
      const message = `An entry has ${entry.length} bytes; 1 to ${ENTRY_BYTES_MAX} are possible.`;
      return Promise.reject(new ClawError("E_PARAMETER", message));
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#pending.length >= PENDING_MAX) {
      return Promise.reject(
        new ClawError("E_OVERLOADED", `${PENDING_MAX} ledger entries are waiting already.`),
      );
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ entry, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  /** Takes in what other writers have added so far. Errors: E_LEDGER when the storage refuses. */
  async catchUp(): Promise<void> {
    await this.#committing; // it may have looked before the others wrote
    this.#committing ??= this.#commitAll();
    await this.#committing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Publishes a checkpoint over every entry that is durable now. Errors: E_LEDGER when the storage refuses. */
  async publish(): Promise<void> {
    await this.#publishing?.catch(() => {}); // whoever asked for that one hears of its failure
    this.#publishing ??= this.#publishNow().finally(() => {
      this.#publishing = undefined;
    });
    await this.#publishing;
  }

  /**
   * Publishes the last checkpoint once more, with cosignatures; nothing where another one has taken its place.
   * Errors: E_LEDGER when the storage refuses.
   */
  async cosign(note: string): Promise<void> {
    while (this.#publishing !== undefined) await this.#publishing.catch(() => {});
    const same = note.startsWith(this.#note.slice(0, this.#note.indexOf("\n\n") + 2));
    if (!same || this.#failure !== undefined) return;
    this.#note = note;
    this.#cosigning ??= this.#publishCosigned().finally(() => {
      this.#cosigning = undefined;
    });
    await this.#cosigning;
  }

  async #publishCosigned(): Promise<void> {
    for (let written = ""; written !== this.#note; ) {
      written = this.#note; // another cosignature may come meanwhile
      await this.#options.storage.publishCheckpoint(this.#published.size, utf8(written));
    }
  }

  async #publishNow(): Promise<void> {
    await this.#cosigning?.catch(() => {}); // whoever asked for that hears of its failure
    const size = this.#edge.size;
    if (size === this.#published.size && this.#note !== "") return;
    // All of it is put together before anything is awaited: entries that come meanwhile belong to the next checkpoint.
    const checkpoint = { origin: this.#options.origin, size, root: this.#edge.root() };
    const note = signNote(formatCheckpoint(checkpoint), this.#options.signers);
    const before = this.#published.size;
    const names = newTiles(before, size);
    const files = names.map((name) => [tilePath(name), this.#content(name)] as const);
    const { storage } = this.#options;
    for (const [path, bytes] of files) await storage.publish(path, bytes);
    await storage.publishCheckpoint(size, utf8(note));
    this.#published = checkpoint;
    this.#note = note;
    for (const [path] of files) this.#full.delete(path);
    await this.#dropPartial(names, before);
    await this.#forget(Math.floor(size / TILE_WIDTH) * TILE_WIDTH);
  }

  /**
   * Removes what the tree of `before` entries had of tiles that are full now: or every checkpoint would leave its own for
   * ever. Whoever asks for them is given the full ones, as C2SP tlog-tiles has it.
   */
  async #dropPartial(names: readonly TileName[], before: number): Promise<void> {
    for (const { level, index, width } of names) {
      if (width < TILE_WIDTH || tileWidth(level, index, before) === 0) continue;
      await this.#options.storage.dropPartial(tilePath({ level, index, width }));
    }
  }

  /**
   * A published tile or bundle, which may be wider than asked for where it has become so. Errors: E_LEDGER when the storage
   * lacks it.
   */
  async tile(name: TileName): Promise<Uint8Array> {
    const { storage } = this.#options;
    const bytes =
      (await storage.read(tilePath(name))) ?? (await storage.read(tilePath({ ...name, width: TILE_WIDTH })));
    if (bytes !== undefined) return bytes;
    throw new ClawError("E_LEDGER", `The ledger lacks ${tilePath(name)}.`);
  }

  /** The durable entries [first, end). Errors: E_PARAMETER when there are none such, E_LEDGER when the storage lacks them. */
  async entries(first: number, end: number): Promise<Uint8Array[]> {
    if (!(first >= 0 && first <= end && end <= this.size)) {
      throw new ClawError("E_PARAMETER", `The ledger has ${this.size} entries, not ${first} to ${end}.`);
    }
    const found: Uint8Array[] = [];
    while (first + found.length < end) found.push(...(await this.#entriesFrom(first + found.length, end)));
    return found;
  }

  /** Some entries from `index` on, one at least: those in memory, or of its bundle. */
  async #entriesFrom(index: number, end: number): Promise<Uint8Array[]> {
    if (index >= this.#bundled) return this.#entries.slice(index - this.#bundled, end - this.#bundled);
    const bundle = Math.floor(index / TILE_WIDTH);
    const bytes = await this.tile({ level: "entries", index: bundle, width: TILE_WIDTH });
    const entries = decodeBundle(bytes) ?? [];
    if (entries.length !== TILE_WIDTH) throw new ClawError("E_LEDGER", `The bundle ${bundle} is damaged.`);
    return entries.slice(index - bundle * TILE_WIDTH, end - bundle * TILE_WIDTH);
  }

  /** Lets what waits be written, and lets go of the storage. Entries that were not published are when it opens again. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#committing, this.#publishing, this.#cosigning]);
    this.#failure ??= new ClawError("E_LEDGER", "The ledger is closed.");
    await this.#options.storage.close();
  }

  /** Commits until nothing waits: what arrives during one write goes into the next (group commit). One commit at least. */
  async #commitAll(): Promise<void> {
    try {
      do await this.#commit(this.#takeBatch());
      while (this.#pending.length > 0);
    } finally {
      this.#committing = undefined;
    }
  }

  #takeBatch(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { entry } of this.#pending) {
      if (count > 0 && (count >= BATCH_ENTRIES_MAX || bytes + entry.length > BATCH_BYTES_MAX)) break;
      bytes += entry.length;
      count++;
    }
    const batch = this.#pending.slice(0, count);
    this.#pending = this.#pending.slice(count);
    return batch;
  }

  async #commit(batch: readonly Pending[]): Promise<void> {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      const entries = batch.map(({ entry }) => entry);
      const others = await this.#options.storage.append(this.#edge.size, entries);
      for (const entry of others) this.#place(entry);
    } catch (error) {
      // What the storage holds is unknown now; only opening it again can tell.
      this.#failure ??=
        error instanceof ClawError ? error : new ClawError("E_LEDGER", String(error), { cause: error });
      for (const { reject } of batch) reject(this.#failure);
      return;
    }
    for (const { entry, resolve } of batch) resolve(this.#place(entry));
  }

  #place(entry: Uint8Array): Placed {
    const [index, leaf] = [this.#edge.size, leafHash(entry)];
    this.#edge.append(leaf, (level, tile, hashes) => {
      this.#full.set(tilePath({ level, index: tile, width: TILE_WIDTH }), concat(...hashes));
    });
    this.#entries.push(entry);
    return { index, leaf };
  }

  /** The bytes of a tile that is new since the last checkpoint. */
  #content(name: TileName): Uint8Array {
    const { level, index, width } = name;
    if (level === "entries") {
      const first = index * TILE_WIDTH - this.#bundled;
      return encodeBundle(this.#entries.slice(first, first + width));
    }
    const full = this.#full.get(tilePath(name));
    if (full !== undefined) return full;
    const hashes = this.#edge.unfinished(level);
    assert(hashes.length === width, `The tile at level ${level} has ${hashes.length} hashes, not ${width}.`);
    return concat(...hashes);
  }

  /** Lets go of the entries before `bundled`: they are published in full bundles. */
  async #forget(bundled: number): Promise<void> {
    this.#entries.splice(0, bundled - this.#bundled);
    this.#bundled = bundled;
    await this.#options.storage.release(bundled);
  }
}
