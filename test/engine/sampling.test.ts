import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultSampling, Sampler, type SamplingParameters } from "../../src/engine/mod.ts";
import { philox } from "../../src/engine/sampling/philox.ts";

const empty = { tokens: new Int32Array(8), length: 1, promptLength: 1 };

function draw(logits: readonly number[], parameters: Partial<SamplingParameters>, history = empty): number {
  const values = Float32Array.from(logits);
  return new Sampler(values.length).draw(values, history, { ...defaultSampling, ...parameters }).token;
}

/** Tokens drawn at many positions: what a distribution looks like from outside. */
function frequencies(
  logits: readonly number[],
  parameters: Partial<SamplingParameters>,
  draws: number,
): number[] {
  const values = Float32Array.from(logits);
  const sampler = new Sampler(values.length);
  const counts = logits.map(() => 0);
  const tokens = new Int32Array(draws + 1);
  for (let position = 1; position <= draws; position++) {
    const history = { tokens, length: position, promptLength: 1 };
    const { token } = sampler.draw(values, history, { ...defaultSampling, ...parameters });
    counts[token] = (counts[token] as number) + 1;
  }
  return counts.map((count) => count / draws);
}

/** The truncation rules written the slow, obvious way, over all candidates. */
function survivors(logits: readonly number[], p: SamplingParameters): Set<number> {
  const largest = Math.max(...logits);
  const scaled = logits.map((logit, id) => ({ id, z: (logit - largest) / p.temperature }));
  let kept = scaled.toSorted((a, b) => b.z - a.z || a.id - b.id);
  if (p.topK > 0) kept = kept.slice(0, p.topK);
  if (p.topP < 1) {
    const total = kept.toSorted((a, b) => a.id - b.id).reduce((sum, { z }) => sum + Math.exp(z), 0);
    let sum = 0;
    let count = 0;
    for (const { z } of kept) {
      count++;
      sum += Math.exp(z);
      if (sum >= p.topP * total) break;
    }
    kept = kept.slice(0, count);
  }
  return new Set(kept.filter(({ z }) => Math.exp(z) >= p.minP).map(({ id }) => id));
}

describe("Philox 4x32-10 gives the published vectors", () => {
  const cases = [
    { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ];
  test.each(cases)("counter $counter", ({ counter, key, words }) => {
    const state = Uint32Array.from(counter);
    philox(state, ...(key as [number, number]));
    expect([...state]).toEqual(words);
  });
});

describe("drawing", () => {
  test("greedy takes the largest logit, the lowest id among equals", () => {
    expect(draw([1, 3, 3, 2], { temperature: 0 })).toBe(1);
  });

  test("frequencies follow the softmax, at several temperatures", () => {
    const logits = [2, 1, 0, -1, 1.5];
    for (const temperature of [0.5, 1, 2]) {
      const weights = logits.map((logit) => Math.exp(logit / temperature));
      const total = weights.reduce((a, b) => a + b);
      const seen = frequencies(logits, { temperature, seed: 7 }, 20_000);
      // Four standard deviations of a binomial share at 20,000 draws.
      for (const [id, share] of seen.entries()) {
        expect(Math.abs(share - (weights[id] as number) / total)).toBeLessThan(0.0142);
      }
    }
  });

  test("a tiny temperature is greedy, not NaN", () => {
    for (const temperature of [1e-6, 1e-300, Number.MIN_VALUE]) {
      expect(draw([5, 5.0001, -3], { temperature })).toBe(1);
    }
  });

  test("seed, choice and position each change the draw; nothing else does", () => {
    const logits = Array.from({ length: 200 }, () => 0);
    const base = draw(logits, { seed: 1 });
    expect(draw(logits, { seed: 1 })).toBe(base);
    const others = [
      draw(logits, { seed: 2 }),
      draw(logits, { seed: 1 + 2 ** 32 }),
      draw(logits, { seed: 1, choice: 1 }),
      draw(logits, { seed: 1 }, { ...empty, length: 2 }),
    ];
    expect(others.filter((token) => token !== base).length).toBeGreaterThanOrEqual(3);
  });

  test("only survivors of the truncation rules are drawn, and each of them sometimes", () => {
    let truncated = 0;
    const logit = fc.double({ min: -40, max: 10, noNaN: true }).map(Math.fround);
    const cases = fc.record({
      logits: fc.array(logit, { minLength: 2, maxLength: 300 }),
      topK: fc.integer({ min: 0, max: 20 }),
      topP: fc.constantFrom(1, 0.99, 0.9, 0.5, 0.1, 0),
      minP: fc.constantFrom(0, 0.01, 0.2, 1),
      temperature: fc.constantFrom(0.3, 1, 3),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(cases, ({ logits, ...chosen }) => {
        const parameters = { ...defaultSampling, ...chosen };
        const allowed = survivors(logits, parameters);
        if (allowed.size < logits.length) truncated++;
        for (let choice = 0; choice < 5; choice++) {
          expect(allowed).toContain(draw(logits, { ...parameters, choice }));
        }
      }),
      { numRuns: 300, seed: 20 },
    );
    expect(truncated).toBeGreaterThan(150);
    const kept = frequencies([3, 2.9, 2.8, -5, 2.7], { topK: 4, topP: 0.9, seed: 3 }, 2000);
    expect(kept.map((share) => share > 0)).toEqual([true, true, true, false, true]);
  });

  test("skipping candidates that cannot win changes no draw", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -30, max: 5 }), { minLength: 4, maxLength: 60 }),
        fc.nat(),
        (logits, seed) => {
          const shifted = logits.map((logit) => logit + 12);
          expect(draw(logits, { seed })).toBe(draw(shifted, { seed }));
          const padded = [...logits, ...logits.map(() => -1e6)];
          expect(draw(padded, { seed })).toBe(draw(logits, { seed }));
        },
      ),
      { numRuns: 300, seed: 21 },
    );
  });

  test("NaN and infinite logits are refused with a code", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => draw([0, bad, 1], {})).toThrow(expect.objectContaining({ code: "E_NUMERIC" }));
    }
    expect(() => draw([Number.NaN, 2, 1], { temperature: 0 })).toThrow();
  });
});

describe("penalties, bias and log-probabilities", () => {
  const history = { tokens: Int32Array.from([0, 1, 2, 2, 2]), length: 5, promptLength: 2 };

  test("repetition divides positive and multiplies negative logits inside its window", () => {
    const logits = [4, 3, -1, 2.5];
    expect(draw(logits, { temperature: 0, repetitionPenalty: 2, repetitionWindow: 0 }, history)).toBe(3);
    expect(draw(logits, { temperature: 0, repetitionPenalty: 2, repetitionWindow: 3 }, history)).toBe(0);
  });

  test("frequency and presence count generated tokens only", () => {
    expect(draw([3, 1, 3.5, 0], { temperature: 0, frequencyPenalty: 0.5 }, history)).toBe(0);
    expect(draw([3, 1, 3.5, 0], { temperature: 0, presencePenalty: 0.4 }, history)).toBe(2);
    expect(draw([3, 1, 3.5, 0], { temperature: 0, presencePenalty: 0.6 }, history)).toBe(0);
  });

  test("bias is added", () => {
    expect(draw([3, 1, 2, 0], { temperature: 0, logitBias: [[3, 100]] })).toBe(3);
  });

  test("log-probabilities are those of the model, whatever the request changes", () => {
    const logits = Float32Array.from([1, 2, 0.5]);
    const sampler = new Sampler(3);
    const parameters = { ...defaultSampling, temperature: 0, logprobs: 2, logitBias: [[2, 50]] as const };
    const { token, logprob, top } = sampler.draw(logits, empty, parameters);
    const total = Math.log(Math.exp(1) + Math.exp(2) + Math.exp(0.5));
    expect(token).toBe(2);
    expect(logprob).toBeCloseTo(0.5 - total, 12);
    expect(top.map((entry) => entry.token)).toEqual([1, 0]);
    expect(top[0]?.logprob).toBeCloseTo(2 - total, 12);
  });
});
