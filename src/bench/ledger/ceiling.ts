/** I/O: what the disk can do at best: small writes made durable one after the other, and bytes written in a row. */

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

export interface DiskCeiling {
  /** Appends of 4 KiB, each durable before the next. */
  readonly syncsPerSecond: number;
  /** Written in a row, then made durable. */
  readonly bytesPerSecond: number;
}

const SYNCS = 200;
const BLOCK_BYTES = 4096;
const SEQUENTIAL_BYTES: number = 64 * 1024 * 1024;
const CHUNK_BYTES: number = 1024 * 1024;

/** Measures in a file of its own, which is gone afterwards. */
export function measureDisk(folder: string): DiskCeiling {
  const path = join(folder, "ceiling");
  try {
    return { syncsPerSecond: syncRate(path), bytesPerSecond: writeRate(path) };
  } finally {
    rmSync(path, { force: true });
  }
}

function syncRate(path: string): number {
  return withFile(path, (file) => {
    const block = new Uint8Array(BLOCK_BYTES).fill(1);
    const start = performance.now();
    for (let i = 0; i < SYNCS; i++) {
      writeSync(file, block);
      fdatasyncSync(file);
    }
    return SYNCS / seconds(start);
  });
}

function writeRate(path: string): number {
  return withFile(path, (file) => {
    const chunk = new Uint8Array(CHUNK_BYTES).fill(1);
    const start = performance.now();
    for (let written = 0; written < SEQUENTIAL_BYTES; written += CHUNK_BYTES) writeSync(file, chunk);
    fdatasyncSync(file);
    return SEQUENTIAL_BYTES / seconds(start);
  });
}

function withFile(path: string, work: (file: number) => number): number {
  const file = openSync(path, "w");
  try {
    return work(file);
  } finally {
    closeSync(file);
  }
}

function seconds(start: number): number {
  return (performance.now() - start) / 1000;
}
