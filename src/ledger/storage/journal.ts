/**
 * The journal: entries in the order of the log, durable before they are acknowledged, until their bundles are published.
 * A file is named by its first entry's index. A record is the entry's length (4 bytes, little endian), the CRC-32 of
 * index and entry (4 bytes), and the entry; what a crash left unfinished at the end fails the check and is cut off.
 */

import { crc32 } from "node:zlib";
import { assert, ClawError } from "../../base/mod.ts";
import { concat } from "../../crypto/mod.ts";
import type { Disk } from "../disk/mod.ts";
import { ENTRY_BYTES_MAX, JOURNAL_FILE_BYTES } from "../limits.ts";

const FOLDER = "journal";
const HEADER_BYTES = 8;
const NAME_DIGITS = 16;

interface JournalFile {
  readonly name: string;
  readonly first: number;
}

export class Journal {
  readonly #disk: Disk;
  readonly #files: JournalFile[] = [];
  /** Bytes in the file that is written to. */
  #bytes = 0;

  private constructor(disk: Disk) {
    this.#disk = disk;
  }

  /**
   * Opens the journal and hands out its entries from index `from` on, in order. An unfinished end is cut off, which
   * loses nothing that was acknowledged. Errors: E_LEDGER when entries are missing or damaged before the end.
   */
  static async open(disk: Disk, from: number, entry: (bytes: Uint8Array) => void): Promise<Journal> {
    const journal = new Journal(disk);
    const names = (await disk.list(FOLDER)).filter((name) => /^\d{16}$/.test(name));
    const files = names.map((name) => ({ name, first: Number(name) }));
    let next = files[0]?.first ?? from;
    if (next > from) throw gap(from);
    for (const [position, file] of files.entries()) {
      if (file.first !== next) throw gap(next);
      const found = await journal.#readFile(file, position === files.length - 1);
      for (const bytes of found.slice(Math.max(0, from - next))) entry(bytes);
      next += found.length;
      journal.#files.push(file);
    }
    if (next < from) throw gap(next);
    return journal;
  }

  /** Adds entries behind those there are, the first with index `first`; durable when it resolves. */
  async append(first: number, entries: readonly Uint8Array[]): Promise<void> {
    const current = this.#files.at(-1);
    const file = current === undefined || this.#bytes >= JOURNAL_FILE_BYTES ? this.#begin(first) : current;
    const records = concat(...entries.flatMap((entry, i) => [recordHeader(first + i, entry), entry]));
    await this.#disk.append(pathOf(file), records);
    await this.#disk.sync(pathOf(file));
    this.#bytes += records.length;
  }

  /** Removes files that hold only entries before `index`. */
  async release(index: number): Promise<void> {
    while ((this.#files[1]?.first ?? Number.POSITIVE_INFINITY) <= index) {
      const file = this.#files.shift();
      if (file !== undefined) await this.#disk.remove(pathOf(file));
    }
  }

  #begin(first: number): JournalFile {
    const file = { name: String(first).padStart(NAME_DIGITS, "0"), first };
    this.#files.push(file);
    this.#bytes = 0;
    return file;
  }

  async #readFile(file: JournalFile, last: boolean): Promise<Uint8Array[]> {
    const bytes = await this.#disk.read(pathOf(file));
    if (bytes === undefined) throw new ClawError("E_LEDGER", `The journal file ${file.name} has vanished.`);
    const { entries, end } = readRecords(bytes, file.first);
    if (last) this.#bytes = end;
    if (end === bytes.length) return entries;
    // Files before the last were complete when the next was begun.
    if (!last) throw gap(file.first + entries.length);
    await this.#disk.truncate(pathOf(file), end);
    return entries;
  }
}

function recordHeader(index: number, entry: Uint8Array): Uint8Array {
  assert(entry.length <= ENTRY_BYTES_MAX, "Entries are checked before they come here.");
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, entry.length, true);
  view.setUint32(4, checksum(index, entry), true);
  return header;
}

function checksum(index: number, entry: Uint8Array): number {
  const place = new Uint8Array(8);
  new DataView(place.buffer).setBigUint64(0, BigInt(index), true);
  return crc32(entry, crc32(place));
}

/** The intact records from the start, and where they end. */
function readRecords(bytes: Uint8Array, first: number): { entries: Uint8Array[]; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Uint8Array[] = [];
  let end = 0;
  while (end + HEADER_BYTES <= bytes.length) {
    const length = view.getUint32(end, true);
    const next = end + HEADER_BYTES + length;
    if (length > ENTRY_BYTES_MAX || next > bytes.length) break;
    const entry = bytes.slice(end + HEADER_BYTES, next);
    if (checksum(first + entries.length, entry) !== view.getUint32(end + 4, true)) break;
    entries.push(entry);
    end = next;
  }
  return { entries, end };
}

function pathOf({ name }: JournalFile): string {
  return `${FOLDER}/${name}`;
}

function gap(index: number): ClawError {
  return new ClawError("E_LEDGER", `The journal lacks entry ${index} or holds it damaged.`);
}
