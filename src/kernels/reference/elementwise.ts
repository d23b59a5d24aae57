/** Norm, rotary embedding and gating of single rows (arithmetic.md, "The other operations"). */

import { fma, silu } from "./float.ts";

/** The 16-lane sum's closing tree. */
export function sumLanes(lanes: Float32Array): number {
  for (let half = 8; half >= 1; half /= 2) {
    for (let i = 0; i < half; i++) lanes[i] = (lanes[i] as number) + (lanes[i + half] as number);
  }
  return lanes[0] as number;
}

const lanes = new Float32Array(16);

/** RMSNorm; false, and zeros, when the sum of squares is not finite. */
export function rmsNormRow(
  source: Float32Array,
  gain: Float32Array,
  { epsilon, out }: { readonly epsilon: number; readonly out: Float32Array },
): boolean {
  lanes.fill(0);
  for (let k = 0; k < source.length; k++) {
    const x = source[k] as number;
    lanes[k & 15] = fma(x, x, lanes[k & 15] as number);
  }
  const sum = sumLanes(lanes);
  if (!Number.isFinite(sum)) {
    out.fill(0);
    return false;
  }
  const mean = Math.fround(sum / source.length);
  const inverse = Math.fround(1 / Math.fround(Math.sqrt(Math.fround(mean + epsilon))));
  for (let k = 0; k < source.length; k++) {
    out[k] = Math.fround((source[k] as number) * inverse) * (gain[k] as number);
  }
  return true;
}

/** Rotates each head of a row in place; `table` is [headDim / 2][cosine, sine] of the row's position. */
export function ropeRow(
  row: Float32Array,
  table: Float32Array,
  { headDim, halves }: { readonly headDim: number; readonly halves: boolean },
): void {
  const pairs = headDim / 2;
  for (let head = 0; head < row.length; head += headDim) {
    for (let i = 0; i < pairs; i++) {
      const first = head + (halves ? i : 2 * i);
      const second = halves ? first + pairs : first + 1;
      const a = row[first] as number;
      const b = row[second] as number;
      const cosine = table[2 * i] as number;
      const sine = table[2 * i + 1] as number;
      row[first] = Math.fround(a * cosine) - Math.fround(b * sine);
      row[second] = Math.fround(a * sine) + Math.fround(b * cosine);
    }
  }
}

/** silu(gate) * up. */
export function siluMulRow(gate: Float32Array, up: Float32Array, out: Float32Array): void {
  for (let k = 0; k < out.length; k++) out[k] = silu(gate[k] as number) * (up[k] as number);
}

/** a + b. */
export function addRow(a: Float32Array, b: Float32Array, out: Float32Array): void {
  for (let k = 0; k < out.length; k++) out[k] = (a[k] as number) + (b[k] as number);
}
