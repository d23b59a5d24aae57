/** Answers longer than a piece: the logits of a step of many sequences are those of each alone, whichever way they come. */

import { expect, test } from "vitest";
import { startLocal } from "../../src/cluster/mod.ts";
import { PIECE_BYTES } from "../../src/cluster/shards/limits.ts";
import type { Executable } from "../../src/kernels/mod.ts";
import { proportionalPlacement } from "../../src/model/mod.ts";
import { Random } from "../kernels/random.ts";
import { openSmallDevice } from "./devices.ts";
import { randomDescription, writeModel } from "./models.ts";

const SEQUENCES = 8;
const VOCABULARY = 70_000;

/** The first token of these sequences, each on a page of its own; the bits of their logits. */
async function step(executable: Executable, sequences: readonly number[]): Promise<string[]> {
  const { step: block } = executable;
  block.logits.fill(Number.NaN);
  for (const [row, sequence] of sequences.entries()) {
    block.tokens[row] = (sequence * 7919) % VOCABULARY;
    block.positions[row] = 0;
    block.pageStart[row] = row;
    block.pages[row] = sequence;
    block.outputs[row] = row;
  }
  await executable.execute(sequences.length, sequences.length);
  return sequences.map((_, row) => {
    const logits = block.logits.slice(row * VOCABULARY, (row + 1) * VOCABULARY);
    return Buffer.from(logits.buffer).toString("base64");
  });
}

test.each([
  { stages: [2], shards: [1] },
  { stages: [1, 1], shards: [1] },
  { stages: [2], shards: [1, 1] },
])("logits of eight sequences in one step: $stages layers by $shards", async (split) => {
  const random = new Random(7);
  const shape = { layers: 2, heads: 2, kvHeads: 2, ffnWidth: 8, vocabulary: VOCABULARY };
  const model = writeModel({ ...randomDescription(random), ...shape }, random);
  const placement = proportionalPlacement(model.file.description, split);
  const sizes = { format: "i8", context: 32, batch: SEQUENCES, rows: SEQUENCES } as const;
  const runtime = await startLocal(model.file, { ...sizes, placement, openDevice: openSmallDevice });
  try {
    // Of each rank that answers with logits.
    expect((4 * SEQUENCES * VOCABULARY) / split.shards.length).toBeGreaterThan(PIECE_BYTES);
    const all = Array.from({ length: SEQUENCES }, (_, sequence) => sequence);
    const alone: string[] = [];
    for (const sequence of all) alone.push(...(await step(runtime.executable, [sequence])));
    expect(new Set(alone).size).toBe(SEQUENCES);
    expect(await step(runtime.executable, all)).toEqual(alone);
    // In another order, over what the steps before left.
    expect(await step(runtime.executable, all.toReversed())).toEqual(alone.toReversed());
  } finally {
    await runtime.close();
    model.remove();
  }
});
