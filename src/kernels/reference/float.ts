/** The scalar f32 functions of docs/reference/arithmetic.md: an exact fma, exp, silu and rounding. */

import { powerOfTwo } from "../../base/mod.ts";

const f64 = new Float64Array(1);
const words = new Uint32Array(f64.buffer);
const big = new BigInt64Array(f64.buffer);
const f32 = new Float32Array(1);
const bits = new Int32Array(f32.buffer);

/** 2^-126, the smallest normal f32. */
const SMALLEST_NORMAL = 2 ** -126;

/**
 * fma(a, b, c) of three f32 values, rounded once to f32.
 *
 * The product of two f32 is exact in f64, so only the sum rounds twice, and that matters only when the f64 sum lies
 * exactly between two f32 values (its low 29 bits are 1 followed by zeros) or where f32 is subnormal. Then the sum is
 * rounded to odd instead, after which rounding to f32 is correct (Boldo and Melquiond, 2008).
 */
export function fma(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  f64[0] = sum;
  const low = words[0] as number;
  if ((low & 0x1fffffff) !== 0x10000000 && Math.abs(sum) >= SMALLEST_NORMAL) return Math.fround(sum);
  return Math.fround(roundToOdd(product, c, sum));
}

function roundToOdd(product: number, addend: number, sum: number): number {
  const virtual = sum - product;
  const error = product - (sum - virtual) + (addend - virtual);
  // NaN and infinity fail every comparison below and return as they are.
  if (!(error < 0 || error > 0)) return sum;
  f64[0] = sum;
  if ((words[0] as number) & 1) return sum;
  if (error > 0 === sum > 0) words[0] = (words[0] as number) | 1;
  else big[0] = (big[0] as bigint) - 1n;
  return f64[0] as number;
}

/** Round half to even, for magnitudes below 2^22. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The bit pattern of an f32 without its sign: an order on magnitudes in which NaN and infinity are largest. */
export function magnitudeBits(value: number): number {
  f32[0] = value;
  return (bits[0] as number) & 0x7fffffff;
}

/** The f32 with this bit pattern. */
export function floatFromBits(pattern: number): number {
  bits[0] = pattern;
  return f32[0] as number;
}

/** Magnitude bits from which a value is infinite or NaN. */
export const NOT_FINITE_BITS = 0x7f800000;

const LOG2_E = Math.fround(1.44269502);
const LN2_HIGH = Math.fround(-0.693145752);
const LN2_LOW = Math.fround(-1.42860677e-6);
const EXP_COEFFICIENTS: readonly number[] = [1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1].map(Math.fround);
const EXP_LEADING = Math.fround(1 / 5040);
const EXP_OVERFLOW = Math.fround(88.72283);

/** exp of an f32, as the arithmetic defines it; within 1 ulp or so of the true value. */
export function exp(x: number): number {
  if (x > EXP_OVERFLOW) return Number.POSITIVE_INFINITY;
  if (x < -104) return 0;
  if (Number.isNaN(x)) return x;
  const n = roundHalfEven(Math.fround(x * LOG2_E));
  const r = fma(n, LN2_LOW, fma(n, LN2_HIGH, x));
  let p = EXP_LEADING;
  for (const coefficient of EXP_COEFFICIENTS) p = fma(p, r, coefficient);
  // p * 2^n is exact in f64; the store rounds it once.
  return Math.fround(p * powerOfTwo(n));
}

/** x / (1 + exp(-x)), each step rounded to f32. */
export function silu(x: number): number {
  return Math.fround(x / Math.fround(1 + exp(-x)));
}
