/** I/O: positional reads of a model file, and the same interface over bytes in memory. */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { attempt } from "../../base/files/mod.ts";
import { assert, ClawError } from "../../base/mod.ts";
import { READ_BYTES_MAX } from "./limits.ts";

/** Bytes that can be read at any offset. */
export interface ByteSource {
  /** What messages call it: the path. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** A fresh copy of `length` bytes from `offset`; both lie within `size`. Errors: E_FILE. */
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** Opens the regular file at `path`. Errors: E_FILE. The caller closes it. */
export function openByteSource(path: string): ByteSource {
  return new FileSource(path);
}

/** The interface over bytes in memory. */
export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    read(offset, length) {
      checkRange(offset, length, bytes.length);
      // A Buffer's own slice would be no copy.
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    close() {},
  };
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  #descriptor: number | undefined;

  constructor(path: string) {
    this.name = path;
    const descriptor = attempt(`Cannot open ${path}`, () => openSync(path, "r"));
    try {
      this.size = regularFileSize(descriptor, path);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    this.#descriptor = descriptor;
  }

  read(offset: number, length: number): Uint8Array {
    checkRange(offset, length, this.size);
    const descriptor = this.#descriptor;
    assert(descriptor !== undefined, `${this.name} is read after it was closed.`);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const piece = Math.min(length - done, READ_BYTES_MAX);
      const count = attempt(`Cannot read ${this.name} at byte ${offset + done}`, () =>
        readSync(descriptor, bytes, done, piece, offset + done),
      );
      if (count === 0) throw new ClawError("E_FILE", `${this.name} became shorter while it was read.`);
      done += count;
    }
    return bytes;
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function regularFileSize(descriptor: number, path: string): number {
  const stat = attempt(`Cannot open ${path}`, () => fstatSync(descriptor));
  if (!stat.isFile()) throw new ClawError("E_FILE", `Cannot open ${path}: it is not a regular file.`);
  return stat.size;
}

function checkRange(offset: number, length: number, size: number): void {
  assert(offset >= 0 && length >= 0 && offset + length <= size, `No bytes ${offset}+${length} of ${size}.`);
}
