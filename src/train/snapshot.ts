/** I/O: keeps the state of a run in one file, replaced as a whole: after a crash it is the last one or the one before. */

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { ClawError } from "../base/mod.ts";
import type { DataCursor } from "./data/mod.ts";

/** What a run needs, beside its configuration, to go on as if it had not stopped. */
export interface RunState {
  /** Updates done. */
  readonly step: number;
  /** Where the next examples come from. */
  readonly cursor: DataCursor;
  /** Of everything that decides the run's course; a run of another one cannot go on from here. */
  readonly fingerprint: string;
  /** Updates that the run was meant to have when the state was kept. */
  readonly steps: number;
  /** What is trained, and its moments. */
  readonly arrays: readonly [trained: Float32Array, first: Float32Array, second: Float32Array];
}

const MAGIC = "openclaw run 1\n";
const HEADER_BYTES = 4096;

/** Writes the state to `path`. E_FILE. */
export function saveState(path: string, state: RunState): void {
  const { step, steps, cursor, fingerprint, arrays } = state;
  const header = `${MAGIC}${JSON.stringify({ step, steps, cursor, fingerprint, sizes: arrays.map((array) => array.length) })}`;
  attempt(`write ${path}`, () => {
    mkdirSync(dirname(path), { recursive: true });
    const file = openSync(`${path}.partial`, "w");
    try {
      writeAll(file, new TextEncoder().encode(header.padEnd(HEADER_BYTES)));
      for (const array of arrays)
        writeAll(file, new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}.partial`, path);
    const folder = openSync(dirname(path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  });
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

/** The state kept at `path`, or undefined where there is none. E_FILE; E_CHECKPOINT for a file that is not one. */
export function loadState(path: string): RunState | undefined {
  if (!existsSync(path)) return undefined;
  const bytes = attempt(`read ${path}`, () => readFileSync(path));
  const text = new TextDecoder().decode(bytes.subarray(0, HEADER_BYTES));
  if (!text.startsWith(MAGIC)) throw new ClawError("E_CHECKPOINT", `${path} is not the state of a run.`);
  const { step, steps, cursor, fingerprint, sizes } = JSON.parse(text.slice(MAGIC.length));
  let at = HEADER_BYTES;
  const take = (size: number): Float32Array => {
    const array = new Float32Array(size);
    const from = bytes.subarray(at, at + array.byteLength);
    if (from.length < array.byteLength) throw new ClawError("E_CHECKPOINT", `${path} ends early.`);
    new Uint8Array(array.buffer).set(from);
    at += array.byteLength;
    return array;
  };
  const [trained, first, second] = sizes;
  return { step, steps, cursor, fingerprint, arrays: [take(trained), take(first), take(second)] };
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof ClawError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot ${what}: ${reason}.`, { cause: error });
  }
}
