/** Steps of two step blocks under way at once over the same ranks: each computes what it computes alone. */

import { describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { startLocal } from "../../src/cluster/mod.ts";
import {
  type Device,
  type Executable,
  nativeAvailable,
  openNativeDevice,
  ReferenceDevice,
} from "../../src/kernels/mod.ts";
import { Random } from "../kernels/random.ts";
import { BATCH, CONTEXT, ROWS } from "./answers.ts";
import { randomDescription, writeModel } from "./models.ts";
import { randomPlacement } from "./placements.ts";

const POSITIONS = 20;

/** Tokens of one sequence on a page of its own, one after the other: the bits of all logits. */
async function run(executable: Executable, page: number, vocabulary: number): Promise<string[]> {
  const logits: string[] = [];
  const { step } = executable;
  for (let position = 0; position < POSITIONS; position++) {
    step.tokens[0] = (position * 7 + page) % vocabulary;
    step.positions[0] = position;
    step.pageStart[0] = 0;
    step.pages[0] = page;
    step.outputs[0] = 0;
    await executable.execute(1, 1);
    logits.push(Buffer.from(step.logits.slice(0, vocabulary).buffer).toString("base64"));
  }
  return logits;
}

async function agree(seed: number, openDevice: () => Device): Promise<{ readonly stages: number }> {
  const random = new Random(seed);
  const model = writeModel(randomDescription(random), random);
  const { description } = model.file;
  const placement = randomPlacement(description, random);
  const options = { format: "i8", context: CONTEXT, batch: BATCH, rows: ROWS } as const;
  const runtime = await startLocal(model.file, { ...options, placement, openDevice });
  try {
    const { vocabulary } = description;
    const beside = [runtime.executable, runtime.executable.beside(), runtime.executable.beside()];
    const alone: string[][] = [];
    for (const [page, executable] of beside.entries()) alone.push(await run(executable, page, vocabulary));
    const together = await Promise.all(
      beside.map((executable, page) => run(executable, page + beside.length, vocabulary)),
    );
    // The tokens follow from the page, so that each sequence has others.
    expect(new Set(alone.map(String)).size).toBe(beside.length);
    for (const [i, executable] of beside.entries()) {
      expect(await run(executable, i + beside.length, vocabulary)).toEqual(together[i]);
    }
    return { stages: placement.stages.length };
  } finally {
    await runtime.close();
    model.remove();
  }
}

async function several(cases: number, openDevice: () => Device): Promise<void> {
  let deep = 0;
  for (let seed = 0; seed < cases; seed++) if ((await agree(seed, openDevice)).stages > 1) deep++;
  expect(deep).toBeGreaterThan(cases / 4);
}

describe("steps of several blocks at once compute what each computes alone", () => {
  test("on the reference", () => several(3, () => new ReferenceDevice()));

  test.skipIf(!nativeAvailable())("natively (skipped where no native core is built)", () =>
    several(12, () => openNativeDevice({ threads: 1, pinThreads: "never" })),
  );
});

test("when a rank is lost, steps of both fail", async () => {
  const random = new Random(3);
  const model = writeModel({ ...randomDescription(random), layers: 2 }, random);
  const options = { format: "i8", context: CONTEXT, batch: BATCH, rows: ROWS } as const;
  const placement = randomPlacement(model.file.description, random);
  const runtime = await startLocal(model.file, {
    ...options,
    placement,
    openDevice: () => new ReferenceDevice(),
  });
  const other = runtime.executable.beside();
  const { vocabulary } = model.file.description;
  const steps = [run(runtime.executable, 0, vocabulary), run(other, 1, vocabulary)];
  const settled = Promise.allSettled(steps);
  runtime.executable.lose(new ClawError("E_LINK", "Lost by the test."));
  for (const { status } of await settled) expect(status).toBe("rejected");
  await expect(other.execute(1, 1)).rejects.toThrow("Lost by the test.");
  await runtime.close();
  model.remove();
});
