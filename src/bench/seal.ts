/** I/O: how fast a model is verified, beside how fast the machine hashes; each round measures both, one after the other. */

import { statSync } from "node:fs";
import { measureSeal } from "../model/mod.ts";
import { HashingCeiling } from "./hashing.ts";
import { median } from "./rounds.ts";

interface SealRound {
  /** Of verification, from opening the file to its root. */
  readonly bytesPerSecond: number;
  /** Of SHA-256 by node:crypto on all cores. */
  readonly hashingBytesPerSecond: number;
}

export interface SealReport extends SealRound {
  readonly bench: "seal";
  readonly model: string;
  readonly bytes: number;
  readonly threads: number;
  /** Of the rates, the median over the rounds. */
  readonly share: number;
  readonly rounds: readonly SealRound[];
}

/** Verifies the model `rounds` times after once to have it in memory. Errors: those of a model that cannot be run. */
export async function measureSealing(model: string, rounds: number): Promise<SealReport> {
  const { size: bytes } = statSync(model);
  const ceiling = await HashingCeiling.start();
  try {
    await measureSeal(model);
    const measured: SealRound[] = [];
    for (let round = 0; round < rounds; round++) {
      const hashingBytesPerSecond = await ceiling.measure();
      const start = performance.now();
      await measureSeal(model);
      measured.push({ bytesPerSecond: (bytes / (performance.now() - start)) * 1000, hashingBytesPerSecond });
    }
    return {
      bench: "seal",
      model,
      bytes,
      threads: ceiling.threads,
      bytesPerSecond: median(measured.map((round) => round.bytesPerSecond)),
      hashingBytesPerSecond: median(measured.map((round) => round.hashingBytesPerSecond)),
      share: median(measured.map((round) => round.bytesPerSecond / round.hashingBytesPerSecond)),
      rounds: measured,
    };
  } finally {
    await ceiling.close();
  }
}
