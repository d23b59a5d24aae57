/** The gaps that clients saw around what was done to a server. */

export type Kind =
  | ("rank killed" | "rank stopped" | "rank cut off")
  | ("owner killed" | "owner stopped" | "owner cut off");

export const RANK_KINDS: readonly Kind[] = ["rank killed", "rank stopped"];
/** The same where ranks are linked by TCP, in a network that may be changed. */
export const LINKED_RANK_KINDS: readonly Kind[] = [...RANK_KINDS, "rank cut off"];
export const OWNER_KINDS: readonly Kind[] = ["owner killed", "owner stopped", "owner cut off"];

export interface Fault {
  /** In milliseconds of `performance.now()`. */
  readonly at: number;
  readonly kind: Kind;
}

/** How long after a fault a wait may begin that it is the reason of: who is cut off from NATS answers until its lease ends. */
const REACH_MS = 2500;

/**
 * The longest wait of a stream that was under way when the fault came, or that began soon after; in seconds. Undefined where the
 * stream had not begun, or had ended.
 */
export function gapOf(times: readonly number[], { at }: Fault): number | undefined {
  const next = times.findIndex((time) => time > at);
  if (next < 1) return undefined;
  let longest = 0;
  for (const [i, time] of times.entries()) {
    const before = times[i - 1];
    if (i < next || before === undefined || before > at + REACH_MS) continue;
    longest = Math.max(longest, time - before);
  }
  return longest / 1000;
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
