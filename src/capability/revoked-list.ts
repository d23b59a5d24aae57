/** I/O: the list of revoked ids, to which several processes add, also where the disk runs full under one of them. */

import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { ClawError } from "../base/mod.ts";
import { LIST_BYTES_MAX, REVOKED_DIGITS_MIN } from "./limits.ts";

const MODE = 0o644;

/** Each but the first is after a write that was cut, by a full disk, which refuses the next one. */
const ATTEMPTS_MAX = 5;

/** Whether an id is revoked. */
export interface Revoked {
  has(id: string): boolean;
}

/**
 * The lines of a list. Each revokes what begins with it: an id, or what is left of one where a disk ran full, a crash cut it
 * or somebody copied half of it, as long as that names one token alone.
 */
export class RevokedLines implements Revoked {
  readonly #lines: ReadonlySet<string>;
  readonly #lengths: readonly number[];

  /** Errors: E_TOKEN_KEY for a line that is nothing of an id; `file` is named then. */
  constructor(lines: readonly string[], file: string) {
    const odd = lines.find((line) => !/^[0-9a-f]+$/.test(line));
    if (odd !== undefined) {
      const what = `a line that is no revocation id: ${odd.slice(0, 80)}`;
      throw new ClawError("E_TOKEN_KEY", `${file} has ${what}.`);
    }
    this.#lines = new Set(lines.filter((line) => line.length >= REVOKED_DIGITS_MIN));
    this.#lengths = [...new Set([...this.#lines].map((line) => line.length))];
  }

  has(id: string): boolean {
    return this.#lengths.some((length) => this.#lines.has(id.slice(0, length)));
  }
}

/** A block's signature, in hexadecimal: 64 bytes for Ed25519, up to 72 for the others that Biscuit knows. */
export function isRevocationId(text: string): boolean {
  return /^(?:[0-9a-f]{2}){64,72}$/.test(text);
}

/**
 * Adds ids durably, each on a line of its own, whatever others add at the same time. Where that fails some may be there, or a
 * part of one. Errors: E_REVOCATIONS where the list would become too large to be read, with nothing added; E_STATE_DIR.
 */
export function addRevoked(file: string, ids: readonly string[]): void {
  const handle = openSync(file, "a+", MODE);
  try {
    const { size } = fstatSync(handle);
    const text = ids.map((id) => `${id}\n`).join("");
    if (size + text.length > LIST_BYTES_MAX) {
      const most = `${LIST_BYTES_MAX} bytes are the most`;
      throw new ClawError("E_REVOCATIONS", `${file} would have ${size + text.length} bytes; ${most}.`);
    }
    try {
      appendWhole(handle, { size, text, ids });
      fsyncSync(handle);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ClawError("E_STATE_DIR", `Cannot add to ${file}: ${reason}.`, { cause: error });
    }
  } finally {
    closeSync(handle);
  }
}

interface Addition {
  readonly ids: readonly string[];
  /** The ids, each with the end of its line. */
  readonly text: string;
  /** Of the list before. */
  readonly size: number;
}

/**
 * The system keeps one write apart from those of others, but writes a part of it where the disk runs full; what follows a part
 * that another process wrote is in that line. Nothing is taken back: others may have added after it.
 */
function appendWhole(handle: number, { size, text, ids }: Addition): void {
  const isOpen = size > 0 && readFrom(handle, size - 1)[0] !== "\n";
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    writeSync(handle, isOpen || attempt > 0 ? `\n${text}` : text);
    const lines = new Set(readFrom(handle, size).split("\n"));
    if (ids.every((id) => lines.has(id))) return;
  }
  throw new Error(`${ATTEMPTS_MAX} times a part of it alone was written`);
}

function readFrom(handle: number, at: number): string {
  const bytes = Buffer.alloc(Math.max(0, fstatSync(handle).size - at));
  return bytes.toString("latin1", 0, readSync(handle, bytes, 0, bytes.length, at));
}
