/**
 * What a llama computes, forward and backward, as plainly as possible: what the native kernels are compared with, and what
 * trains where there are none. Arrays are row-major; sums are made in f64 and rounded to the arrays' type where stored, so
 * that with f64 arrays central differences are exact to many digits.
 */

import { exactExp, exactLog } from "../../base/mod.ts";

/** f32 for training, f64 for checks. */
export type Reals = Float32Array | Float64Array;

const value = (array: Reals, index: number): number => array[index] as number;

/** Adds to an element. */
function accumulate(array: Reals, index: number, amount: number): void {
  array[index] = value(array, index) + amount;
}

export interface ProductShape {
  readonly rows: number;
  readonly in: number;
  readonly out: number;
}

/** y [rows][out] += scale * x [rows][in] * W^T, W [out][in]. */
export function linear(
  arrays: { x: Reals; weight: Reals; y: Reals },
  { rows, in: into, out }: ProductShape,
  scale = 1,
): void {
  const { x, weight, y } = arrays;
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < out; o++) {
      let sum = 0;
      for (let i = 0; i < into; i++) sum += value(x, row * into + i) * value(weight, o * into + i);
      accumulate(y, row * out + o, scale * sum);
    }
  }
}

export interface LinearGradients {
  readonly x: Reals;
  readonly weight: Reals;
  readonly dy: Reals;
  /** Added to; undefined: not wanted. */
  readonly dx: Reals | undefined;
  readonly dweight: Reals | undefined;
}

/** The gradients of `linear`: dx += scale dy W, dW += scale dy^T x. */
export function linearBackward(
  { x, weight, dy, dx, dweight }: LinearGradients,
  { rows, in: into, out }: ProductShape,
  scale = 1,
): void {
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < out; o++) {
      const gradient = scale * value(dy, row * out + o);
      for (let i = 0; i < into; i++) {
        if (dx !== undefined) accumulate(dx, row * into + i, gradient * value(weight, o * into + i));
        if (dweight !== undefined) accumulate(dweight, o * into + i, gradient * value(x, row * into + i));
      }
    }
  }
}

export interface NormShape {
  readonly rows: number;
  readonly width: number;
  readonly epsilon: number;
}

function inverseRms(x: Reals, row: number, { width, epsilon }: NormShape): number {
  let squares = 0;
  for (let i = 0; i < width; i++) squares += value(x, row * width + i) ** 2;
  return 1 / Math.sqrt(squares / width + epsilon);
}

/** y = x gain / sqrt(mean(x^2) + epsilon), row by row (Zhang and Sennrich, 2019). */
export function norm(arrays: { x: Reals; gain: Reals; y: Reals }, shape: NormShape): void {
  const { x, gain, y } = arrays;
  const { rows, width } = shape;
  for (let row = 0; row < rows; row++) {
    const inverse = inverseRms(x, row, shape);
    for (let i = 0; i < width; i++) y[row * width + i] = value(x, row * width + i) * inverse * value(gain, i);
  }
}

/** Adds to dx and, unless undefined, to dgain. */
export function normBackward(
  arrays: { x: Reals; gain: Reals; dy: Reals; dx: Reals; dgain: Reals | undefined },
  shape: NormShape,
): void {
  const { x, gain, dy, dx, dgain } = arrays;
  const { rows, width } = shape;
  for (let row = 0; row < rows; row++) {
    const inverse = inverseRms(x, row, shape);
    let dot = 0;
    for (let i = 0; i < width; i++) {
      dot += value(gain, i) * value(dy, row * width + i) * value(x, row * width + i);
    }
    const back = (dot * inverse ** 3) / width;
    for (let i = 0; i < width; i++) {
      const place = row * width + i;
      accumulate(dx, place, inverse * value(gain, i) * value(dy, place) - value(x, place) * back);
      if (dgain !== undefined) accumulate(dgain, i, value(dy, place) * value(x, place) * inverse);
    }
  }
}

export interface HeadShape {
  readonly rows: number;
  readonly heads: number;
  readonly headDim: number;
}

/** Turns adjacent pairs by their position's angles, in place; `direction` -1 turns back, which is also the gradient. */
export function rope(x: Reals, table: Reals, options: HeadShape & { readonly direction: 1 | -1 }): void {
  const { rows, heads, headDim, direction } = options;
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < headDim; i += 2) {
        const place = (row * heads + head) * headDim + i;
        const cosine = value(table, row * headDim + i);
        const sine = direction * value(table, row * headDim + i + 1);
        const [a, b] = [value(x, place), value(x, place + 1)];
        x[place] = a * cosine - b * sine;
        x[place + 1] = a * sine + b * cosine;
      }
    }
  }
}

const sigmoid = (x: number): number => 1 / (1 + exactExp(-x));

/** h = silu(gate) up (Shazeer, 2020). */
export function swiglu(arrays: { gate: Reals; up: Reals; h: Reals }): void {
  const { gate, up, h } = arrays;
  for (let i = 0; i < h.length; i++) h[i] = value(gate, i) * sigmoid(value(gate, i)) * value(up, i);
}

/** Fills dgate and dup. */
export function swigluBackward(arrays: {
  gate: Reals;
  up: Reals;
  dh: Reals;
  dgate: Reals;
  dup: Reals;
}): void {
  const { gate, up, dh, dgate, dup } = arrays;
  for (let i = 0; i < dh.length; i++) {
    const g = value(gate, i);
    const s = sigmoid(g);
    dgate[i] = value(dh, i) * value(up, i) * s * (1 + g * (1 - s));
    dup[i] = value(dh, i) * g * s;
  }
}

/** Replaces a row's first `count` values by their softmax; the logarithm of the sum of their exponentials. */
export function softmax(row: Reals, count: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) largest = Math.max(largest, value(row, i));
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const exponential = exactExp(value(row, i) - largest);
    row[i] = exponential;
    sum += exponential;
  }
  for (let i = 0; i < count; i++) row[i] = value(row, i) / sum;
  return exactLog(sum) + largest;
}
