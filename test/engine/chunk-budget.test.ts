/** The chunk budget on machines whose steps take what a formula says, with some noise. */

import { describe, expect, test } from "vitest";
import { ChunkBudget } from "../../src/engine/chunk-budget.ts";

const ROWS = 256;
const STREAMS = 8;
const STEPS = 4000;

interface Machine {
  readonly name: string;
  /** Milliseconds of a step with so many rows. */
  readonly stepMs: (rows: number) => number;
  readonly noise: number;
  /** Of the backlog's undisturbed rate, what steps twice as long as decoding ones leave for it, and a little less. */
  readonly share: number;
}

const machines: readonly Machine[] = [
  { name: "all arithmetic", stepMs: (rows) => 2 + rows * 3, noise: 0.02, share: 0.46 },
  {
    name: "bound by memory while it decodes",
    stepMs: (rows) => Math.max(60, 10 + rows * 2),
    noise: 0.05,
    share: 0.75,
  },
  { name: "weights, then arithmetic", stepMs: (rows) => 30 + rows * 1.5, noise: 0.05, share: 0.46 },
  {
    name: "rows in groups of 24",
    stepMs: (rows) => 20 + rows * 1.2 + Math.ceil(rows / 24) * 7,
    noise: 0.03,
    share: 0.46,
  },
];

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] as number;
}

/** Steps of eight streams beside a backlog without end: their times, and prompt tokens in a millisecond. */
function serve({ stepMs, noise }: Machine): { readonly times: number[]; readonly rate: number } {
  const budget = new ChunkBudget(ROWS, 16, ROWS);
  const times: number[] = [];
  let state = 1;
  let prompt = 0;
  let total = 0;
  for (let step = 0; step < STEPS; step++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const tokens = budget.tokens(STREAMS);
    const ms = stepMs(STREAMS + tokens) * (1 + noise * (state / 2 ** 31 - 1));
    budget.record(STREAMS, tokens, ms);
    times.push(ms);
    prompt += tokens;
    total += ms;
  }
  return { times, rate: prompt / total };
}

describe("beside a backlog of prompts", () => {
  test.each(machines)("streams keep moving and prompts too: $name", (machine) => {
    const { times, rate } = serve(machine);
    expect(quantile(times, 0.99)).toBeLessThanOrEqual(2 * machine.stepMs(STREAMS));
    const undisturbed = ROWS / machine.stepMs(ROWS);
    expect(rate / undisturbed).toBeGreaterThan(machine.share);
  });

  test("without streams, a prompt gets the whole step", () => {
    expect(new ChunkBudget(ROWS, 16, 10).tokens(0)).toBe(ROWS);
  });

  test("never more than is allowed, and never so little that prompts starve", () => {
    const budget = new ChunkBudget(ROWS, 16, 20);
    let least = ROWS;
    let none = 0;
    for (let step = 0; step < 500; step++) {
      const tokens = budget.tokens(STREAMS);
      expect(tokens).toBeLessThanOrEqual(20);
      if (tokens === 0) none++;
      else least = Math.min(least, tokens);
      budget.record(STREAMS, tokens, 1 + tokens * 50);
    }
    expect(least).toBe(8);
    expect(none).toBeLessThan(15);
  });
});
