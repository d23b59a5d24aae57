/**
 * exp, log, sine and cosine in f64 from additions, multiplications and divisions alone, so that they give the same
 * bits on every machine and engine (the language leaves `Math.exp` and its kin to the implementation). Accurate to a
 * few units in the last place; used for RoPE tables and sampling, never inside kernels.
 */

const scratch = new Float64Array(1);
const words = new Uint32Array(scratch.buffer);

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const LOG2_E = Math.LOG2E;

/** 2^n in f64, for whole n from -1022 to 1023. */
export function powerOfTwo(n: number): number {
  words[0] = 0;
  words[1] = (n + 1023) << 20;
  return scratch[0] as number;
}

/** Taylor coefficients 1/n! for n = 17 down to 0. */
const EXP_SERIES: Float64Array = Float64Array.from(reciprocalFactorials(17));

function reciprocalFactorials(last: number): number[] {
  const series = [1];
  let factorial = 1;
  for (let n = 1; n <= last; n++) {
    factorial *= n;
    series.unshift(1 / factorial);
  }
  return series;
}

/**
 * Replaces each of the first `count` values x by e^x: 0 below -708, infinite above 709. A float that crosses a call may
 * become an object on the heap; over a vocabulary that is megabytes of garbage for a token, so the loop is in here.
 */
export function exactExpEach(values: Float64Array, count: number): void {
  for (let i = 0; i < count; i++) {
    const x = values[i] as number;
    if (x > 709) values[i] = Number.POSITIVE_INFINITY;
    else if (x < -708) values[i] = 0;
    else if (!Number.isNaN(x)) {
      const n = Math.floor(x * LOG2_E + 0.5);
      const r = x - n * LN2_HIGH - n * LN2_LOW;
      let sum = 0;
      for (let k = 0; k < EXP_SERIES.length; k++) sum = sum * r + (EXP_SERIES[k] as number);
      words[0] = 0;
      words[1] = (n + 1023) << 20;
      values[i] = sum * (scratch[0] as number);
    }
  }
}

const single = new Float64Array(1);

/** e^x. Below -708 the result is 0, above 709 it is infinite. */
export function exactExp(x: number): number {
  single[0] = x;
  exactExpEach(single, 1);
  return single[0] as number;
}

/** Natural logarithm. Negative numbers give NaN, 0 gives -infinity. */
export function exactLog(x: number): number {
  single[0] = x;
  exactLogOf(single);
  return single[0] as number;
}

/** Replaces the one value by its natural logarithm; for loops, as `exactExpEach` is. */
export function exactLogOf(value: Float64Array): void {
  const x = value[0] as number;
  if (!(x > 0)) {
    value[0] = x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
    return;
  }
  if (x === Number.POSITIVE_INFINITY) return;
  scratch[0] = x < 2 ** -1022 ? x * 2 ** 54 : x;
  let exponent = ((words[1] as number) >>> 20) - 1023 - (x < 2 ** -1022 ? 54 : 0);
  words[1] = ((words[1] as number) & 0x000fffff) | 0x3ff00000;
  let mantissa = scratch[0] as number;
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  // log m = 2 atanh z with z = (m - 1) / (m + 1), |z| < 0.172: odd powers up to 21 suffice.
  const z = (mantissa - 1) / (mantissa + 1);
  const square = z * z;
  let sum = 0;
  for (let power = 21; power >= 1; power -= 2) sum = sum * square + 1 / power;
  value[0] = exponent * LN2_HIGH + (exponent * LN2_LOW + 2 * z * sum);
}

const HALF_PI_HIGH = 1.5707963267341256;
const HALF_PI_LOW = 6.077100506506192e-11;
const TWO_OVER_PI = 0.6366197723675814;

/** Sine and cosine of an angle of at most about 10^9 radians. */
export function exactSineCosine(angle: number): readonly [sine: number, cosine: number] {
  const quarter = Math.floor(angle * TWO_OVER_PI + 0.5);
  const r = angle - quarter * HALF_PI_HIGH - quarter * HALF_PI_LOW;
  const sine = alternatingSeries(r, 1, r);
  const cosine = alternatingSeries(1, 0, r);
  switch (quarter & 3) {
    case 0:
      return [sine, cosine];
    case 1:
      return [cosine, -sine];
    case 2:
      return [-sine, -cosine];
    default:
      return [-cosine, sine];
  }
}

/** Sum of first * (-r^2)^k / ((start+1)...(start+2k)): sine for start 1, cosine for start 0; |r| < 0.8. */
function alternatingSeries(first: number, start: number, r: number): number {
  const square = -r * r;
  let term = first;
  let sum = first;
  for (let n = start + 1; n < start + 20; n += 2) {
    term = (term * square) / (n * (n + 1));
    sum += term;
  }
  return sum;
}
