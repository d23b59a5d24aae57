/** I/O: a server's packed weights, in the cache and in its memory, where a test may flip a bit. */

import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { at } from "../../src/base/mod.ts";
import { decodeIndex } from "../../src/model/packed/index-format.ts";

/** The file of packed weights, when it is whole. */
export async function keptWeights(cacheHome: string): Promise<string> {
  const kept = join(cacheHome, "openclaw", "packed");
  for (;;) {
    const [name] = existsSync(kept) ? readdirSync(kept).filter((file) => !file.endsWith(".unfinished")) : [];
    if (name !== undefined) return join(kept, name);
    await sleep(50);
  }
}

export interface ResidentWeights {
  /** In how many places of the process's memory they lie. */
  readonly places: number;
  /** Flips a bit in each of them. */
  damage(): void;
}

/** Some weights of a process. `kept`: the file that its packed weights are kept in. */
export function residentWeights(pid: number, kept: string): ResidentWeights {
  const file = readFileSync(kept);
  const index = decodeIndex(file.length, (offset, length) => file.subarray(offset, offset + length));
  const { offset } = at(index.matrices, 3);
  const wanted = file.subarray(offset, offset + 256);
  const places = findInMemory(pid, wanted);
  const damage = (): void => {
    const memory = openSync(`/proc/${pid}/mem`, "r+");
    for (const place of places) writeSync(memory, Uint8Array.of(at(wanted, 0) ^ 1), 0, 1, place);
    closeSync(memory);
  };
  return { places: places.length, damage };
}

/** Where these bytes lie in a process's own memory. */
function findInMemory(pid: number, wanted: Uint8Array): number[] {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const found: number[] = [];
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const [, first = "", end = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
    if (first === "") continue;
    const start = Number.parseInt(first, 16);
    const bytes = Buffer.alloc(Math.min(Number.parseInt(end, 16) - start, 2 ** 28));
    let read = 0;
    try {
      read = readSync(memory, bytes, 0, bytes.length, start);
    } catch {
      continue; // no memory behind it
    }
    for (
      let place = bytes.indexOf(wanted);
      place !== -1 && place < read;
      place = bytes.indexOf(wanted, place + 1)
    ) {
      found.push(start + place);
    }
  }
  closeSync(memory);
  return found;
}
