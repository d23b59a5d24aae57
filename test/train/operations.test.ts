import { describe, expect, test } from "vitest";
import { Generator } from "../../src/model/mod.ts";
import { attention, attentionBackward } from "../../src/train/reference/attention.ts";
import { lossBackward } from "../../src/train/reference/loss.ts";
import {
  linear,
  linearBackward,
  norm,
  normBackward,
  type Reals,
  rope,
  swiglu,
  swigluBackward,
} from "../../src/train/reference/operations.ts";

const generator = new Generator(11, 0);
const random = (length: number): Float64Array => Float64Array.from({ length }, () => generator.gaussian());
const dot = (a: Reals, b: Reals): number => [...a].reduce((sum, each, i) => sum + each * (b[i] as number), 0);

let checked = 0;

/** Compares the gradient of sum(loss(inputs)) with central differences, at every element of every input. */
function check(inputs: readonly Float64Array[], gradients: readonly Reals[], loss: () => number): void {
  const step = 1e-5;
  inputs.forEach((input, which) => {
    for (let i = 0; i < input.length; i++) {
      const kept = input[i] as number;
      input[i] = kept + step;
      const above = loss();
      input[i] = kept - step;
      const below = loss();
      input[i] = kept;
      const expected = (above - below) / (2 * step);
      const got = (gradients[which] as Reals)[i] as number;
      expect(Math.abs(got - expected), `input ${which}, element ${i}`).toBeLessThan(
        1e-7 * (1 + Math.abs(expected)),
      );
      checked++;
    }
  });
}

describe("the gradient of every operation is what central differences say", () => {
  test("linear", () => {
    const shape = { rows: 3, in: 5, out: 4 };
    const [x, weight, dy] = [random(15), random(20), random(12)];
    const [dx, dweight] = [new Float64Array(15), new Float64Array(20)];
    linearBackward({ x, weight, dy, dx, dweight }, shape, 0.7);
    check([x, weight], [dx, dweight], () => {
      const y = new Float64Array(12);
      linear({ x, weight, y }, shape, 0.7);
      return dot(y, dy);
    });
  });

  test("RMSNorm", () => {
    const shape = { rows: 3, width: 6, epsilon: 1e-3 };
    const [x, gain, dy] = [random(18), random(6), random(18)];
    const [dx, dgain] = [new Float64Array(18), new Float64Array(6)];
    normBackward({ x, gain, dy, dx, dgain }, shape);
    check([x, gain], [dx, dgain], () => {
      const y = new Float64Array(18);
      norm({ x, gain, y }, shape);
      return dot(y, dy);
    });
  });

  test("RoPE", () => {
    const shape = { rows: 3, heads: 2, headDim: 4 };
    const angles = random(6);
    const table = Float64Array.from({ length: 12 }, (_, i) =>
      i % 2 === 0 ? Math.cos(angles[i >> 1] as number) : Math.sin(angles[i >> 1] as number),
    );
    const [x, dy] = [random(24), random(24)];
    const dx = dy.slice();
    rope(dx, table, { ...shape, direction: -1 });
    check([x], [dx], () => {
      const y = x.slice();
      rope(y, table, { ...shape, direction: 1 });
      return dot(y, dy);
    });
  });

  test("SwiGLU", () => {
    const [gate, up, dh] = [random(20), random(20), random(20)];
    const [dgate, dup] = [new Float64Array(20), new Float64Array(20)];
    swigluBackward({ gate, up, dh, dgate, dup });
    check([gate, up], [dgate, dup], () => {
      const h = new Float64Array(20);
      swiglu({ gate, up, h });
      return dot(h, dh);
    });
  });

  test("causal attention with grouped heads", () => {
    const shape = { rows: 5, heads: 4, kvHeads: 2, headDim: 3 };
    const inputs = { q: random(60), k: random(30), v: random(30) };
    const dout = random(60);
    const d = { q: new Float64Array(60), k: new Float64Array(30), v: new Float64Array(30) };
    attentionBackward({ ...inputs, dout }, d, shape);
    check([inputs.q, inputs.k, inputs.v], [d.q, d.k, d.v], () => {
      const out = new Float64Array(60);
      attention(inputs, out, shape);
      return dot(out, dout);
    });
  });

  test.each([
    ["without a teacher", undefined],
    ["with one", { share: 0.6, temperature: 1, greedy: 0 }],
    ["with a sharpened one, and its likeliest token", { share: 0.5, temperature: 0.4, greedy: 0.3 }],
  ])("cross-entropy %s", (_, numbers) => {
    const logits = random(28);
    const lesson = numbers && { ...numbers, teacher: random(28) };
    const options = { targets: Int32Array.of(2, -1, 6, 0), vocabulary: 7, weight: 1, lesson };
    const gradient = logits.slice();
    const { targets } = lossBackward(gradient, options);
    expect(targets).toBe(3);
    check([logits], [gradient], () => lossBackward(logits.slice(), options).loss);
  });

  test("more than 300 derivatives were compared", () => {
    console.info(`${checked} derivatives`);
    expect(checked).toBeGreaterThan(300);
  });
});
