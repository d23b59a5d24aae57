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

/**
 * Steps of eight streams beside a backlog without end: their times, and prompt tokens in a millisecond. In some of them
 * the processor is away, and they take four times as long.
 */
function serve({ stepMs, noise }: Machine, awayShare = 0) {
  const budget = new ChunkBudget(ROWS, 16, ROWS);
  const times: number[] = [];
  let state = 1;
  let prompt = 0;
  let total = 0;
  let away = 0;
  for (let step = 0; step < STEPS; step++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const tokens = budget.tokens(STREAMS, STREAMS);
    const slow = (state >>> 8) / 2 ** 24 < awayShare;
    if (slow) away++;
    const ms = stepMs(STREAMS + tokens) * (1 + noise * (state / 2 ** 31 - 1)) * (slow ? 4 : 1);
    budget.record(STREAMS, tokens, ms);
    times.push(ms);
    prompt += tokens;
    total += ms;
  }
  return { times, away, rate: prompt / total };
}

describe("beside a backlog of prompts", () => {
  test.each(machines)("streams keep moving and prompts too: $name", (machine) => {
    const { times, rate } = serve(machine);
    expect(quantile(times, 0.99)).toBeLessThanOrEqual(2 * machine.stepMs(STREAMS));
    const undisturbed = ROWS / machine.stepMs(ROWS);
    expect(rate / undisturbed).toBeGreaterThan(machine.share);
  });

  test("where others take the processor away now and then, prompts keep their share", () => {
    const machine: Machine = {
      name: "with neighbours",
      stepMs: (rows) => 45 + rows * 1.5,
      noise: 0.03,
      share: 0.4,
    };
    const { times, rate, away } = serve(machine, 0.04);
    expect(away).toBeGreaterThan(100);
    expect(quantile(times, 0.5)).toBeLessThanOrEqual(2 * machine.stepMs(STREAMS));
    expect(rate / (ROWS / machine.stepMs(ROWS))).toBeGreaterThan(machine.share);
  });

  test("without streams, a prompt gets the whole step", () => {
    expect(new ChunkBudget(ROWS, 16, 10).tokens(0, 0)).toBe(ROWS);
  });

  test("a clock that stands still starves no prompt", () => {
    const budget = new ChunkBudget(ROWS, 16, ROWS);
    let prompt = 0;
    for (let step = 0; step < 100; step++) {
      const tokens = budget.tokens(STREAMS, STREAMS);
      budget.record(STREAMS, tokens, 0);
      prompt += tokens;
    }
    expect(prompt).toBeGreaterThanOrEqual(8 * 90);
  });

  test("never more than is allowed, and never so little that prompts starve", () => {
    const budget = new ChunkBudget(ROWS, 16, 20);
    let least = ROWS;
    let none = 0;
    for (let step = 0; step < 500; step++) {
      const tokens = budget.tokens(STREAMS, STREAMS);
      expect(tokens).toBeLessThanOrEqual(20);
      if (tokens === 0) none++;
      else least = Math.min(least, tokens);
      budget.record(STREAMS, tokens, 1 + tokens * 50);
    }
    expect(least).toBe(8);
    expect(none).toBeLessThan(15);
  });
});

describe("with a request for every place", () => {
  const PLACES = 16;
  const TOKENS = 40;

  /** The share of places that have a part in a step, each request with as many prompt tokens as it draws, another in its place at once. */
  function occupancy(stepMs: (rows: number) => number, noise: number): number {
    const budget = new ChunkBudget(ROWS, PLACES, ROWS);
    const places = Array.from({ length: PLACES }, (_, i) => ({ prompt: TOKENS, left: 1 + 2 * i }));
    let state = 1;
    let taken = 0;
    for (let step = 0; step < STEPS; step++) {
      const decoding = places.filter(({ prompt }) => prompt === 0);
      let tokens = budget.tokens(decoding.length, PLACES);
      let prompts = 0;
      for (const place of places) {
        const fed = Math.min(place.prompt, tokens);
        place.prompt -= fed;
        tokens -= fed;
        prompts += fed;
        if (fed > 0) taken++;
      }
      for (const place of decoding)
        if (--place.left === 0) Object.assign(place, { prompt: TOKENS, left: TOKENS });
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const ms = stepMs(decoding.length + prompts) * (1 + noise * (state / 2 ** 31 - 1));
      budget.record(decoding.length, prompts, ms);
      taken += decoding.length;
    }
    return taken / (STEPS * PLACES);
  }

  test.each([0.03, 0.3])("hardly a place stands empty, where steps spread by %s", (noise) => {
    expect(occupancy((rows) => Math.max(45, 10 + rows * 3.2), noise)).toBeGreaterThan(0.95);
  });
});
