/** The gaps that clients saw around what was done to a server. */

export type Kind = "rank killed" | "rank stopped" | "owner killed" | "owner stopped" | "owner cut off";

export const RANK_KINDS: readonly Kind[] = ["rank killed", "rank stopped"];
export const OWNER_KINDS: readonly Kind[] = ["owner killed", "owner stopped", "owner cut off"];

export interface Fault {
  /** In milliseconds of `performance.now()`. */
  readonly at: number;
  readonly kind: Kind;
}

/**
 * The longest wait of a stream for the event that was under way when the fault came, or for one of the two after it; in seconds.
 * Undefined where the stream had not begun, or had ended.
 */
export function gapOf(times: readonly number[], { at }: Fault): number | undefined {
  const next = times.findIndex((time) => time > at);
  if (next < 1) return undefined;
  const waits = [next, next + 1, next + 2].flatMap((i) => {
    const [before, time] = [times[i - 1], times[i]];
    return before === undefined || time === undefined ? [] : [time - before];
  });
  return Math.max(...waits) / 1000;
}

export interface GapSummary {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export function summary(gaps: readonly number[]): GapSummary {
  const sorted = gaps.toSorted((a, b) => a - b);
  const quantile = (part: number): number | null =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
  return { count: sorted.length, p50: quantile(0.5), p99: quantile(0.99), max: sorted.at(-1) ?? null };
}
