/** What a log has promised over its lives, and whether it keeps it; nothing shared with the product's tree. */

import {
  equalBytes,
  fromUtf8,
  openNote,
  parseCheckpoint,
  parseNote,
  toHex,
  verifyConsistency,
} from "../../../src/crypto/mod.ts";
import {
  consistencyProof,
  decodeBundle,
  type LogStorage,
  newTiles,
  tilePath,
} from "../../../src/ledger/mod.ts";
import { MemoryTree } from "../memory-tree.ts";
import { openStorage } from "./storages.ts";
import type { Promises } from "./writer-process.ts";

export class WitnessedLog {
  readonly #promised = new Map<number, string>();
  readonly #checkpoints = new Map<number, string>();
  #last = { size: 0, root: new MemoryTree([]).root(0) };

  get acknowledged(): number {
    return this.#promised.size;
  }

  get checkpoints(): number {
    return this.#checkpoints.size;
  }

  /** Notes what a life promised; complaints where it contradicts what was promised before. */
  note({ entries, checkpoints }: Promises): string[] {
    const complaints: string[] = [];
    for (const [index, text] of entries) {
      if (this.#promised.has(index)) complaints.push(`Entry ${index} was promised twice.`);
      this.#promised.set(index, text);
    }
    for (const [size, root] of checkpoints) {
      if ((this.#checkpoints.get(size) ?? root) !== root) complaints.push(`Two roots of ${size} entries.`);
      this.#checkpoints.set(size, root);
    }
    return complaints;
  }

  /** The checkpoint that a crash left must continue the last one. Throws E_PROOF. */
  async continues(driver: string, place: string): Promise<void> {
    const { storage, keys } = openStorage(driver, place);
    const note = await storage.read("checkpoint");
    if (note === undefined) return storage.close();
    const found = parseCheckpoint(openNote(note, keys.verifiers).text);
    const proof = await consistencyProof(this.#last.size, found.size, async (name) => {
      const tile = await storage.read(tilePath(name));
      if (tile === undefined) throw new Error(`The crash left no ${tilePath(name)}.`);
      return tile;
    });
    verifyConsistency(proof, this.#last, found);
    this.#last = found;
    await storage.close();
  }

  /** Whether all of it is in the log at rest: entries, checkpoints, tiles equal to those of a rebuilt tree. */
  async faults(storage: LogStorage): Promise<string[]> {
    const read = async (path: string): Promise<Uint8Array> => (await storage.read(path)) ?? new Uint8Array();
    const { size, root } = parseCheckpoint(parseNote(await read("checkpoint")).text);
    const names = newTiles(0, size);
    const entries: Uint8Array[] = [];
    for (const name of names.filter(({ level }) => level === "entries")) {
      entries.push(...(decodeBundle(await read(tilePath(name))) ?? []));
    }
    const tree = new MemoryTree(entries);
    const faults = entries.length === size ? [] : [`${entries.length} entries in bundles for ${size}.`];
    if (!equalBytes(tree.root(size), root)) faults.push("The root is not that of the entries.");
    const texts = entries.map(fromUtf8);
    if (new Set(texts).size !== texts.length) faults.push("An entry is there twice.");
    for (const [index, text] of this.#promised) {
      if (texts[index] !== text) faults.push(`Entry ${index} is lost.`);
    }
    for (const [at, promised] of this.#checkpoints) {
      if (at > size || toHex(tree.root(at)) !== promised)
        faults.push(`The checkpoint of ${at} is no beginning.`);
    }
    const rebuilt = tree.reader(size);
    for (const name of names.filter(({ level }) => level !== "entries")) {
      if (!equalBytes(await read(tilePath(name)), await rebuilt(name)))
        faults.push(`${tilePath(name)} differs.`);
    }
    return faults;
  }
}
