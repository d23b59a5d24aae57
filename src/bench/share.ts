/** How much of a ceiling was reached, with the operands of the quotient. */

import type { NativePeaks, NativeRate, WeightFormat } from "../kernels/mod.ts";

/** amount / seconds / ceiling. */
export interface Share {
  /** Bytes, multiply-adds or operations. */
  readonly amount: number;
  readonly seconds: number;
  /** The same per second, as measured on all threads. */
  readonly ceiling: number;
  readonly fraction: number;
}

export function shareOf(amount: number, seconds: number, ceiling: NativeRate): Share {
  return { amount, seconds, ceiling: ceiling[1], fraction: amount / seconds / ceiling[1] };
}

/** Of `macs` multiply-adds: integer formats against the int8 peak, `f16` against the f32 peak of two operations each. */
export function computeShare(
  macs: number,
  seconds: number,
  { peaks, format }: { readonly peaks: NativePeaks; readonly format: WeightFormat },
): Share {
  if (format !== "f16") return shareOf(macs, seconds, peaks.multiplies);
  return shareOf(2 * macs, seconds, peaks.floatOperations);
}
