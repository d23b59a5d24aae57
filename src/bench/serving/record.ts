/** What happened to the requests of a load. */

import { at } from "../../base/mod.ts";

/** One request's life, in milliseconds since the load began. */
export interface RequestTimes {
  readonly promptTokens: number;
  /** As the server counted them. */
  readonly outputTokens: number;
  readonly sentMs: number;
  /** When each piece of the answer came. A token that spells nothing comes with the next. */
  readonly tokenMs: readonly number[];
  readonly endMs: number;
  /** Why there is no whole answer. */
  readonly error?: string | undefined;
}

export interface Spread {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface LoadFigures {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Drawn, and read from prompts, per second of the whole load. */
  readonly outputTokensPerSecond: number;
  readonly promptTokensPerSecond: number;
  /** In milliseconds, waiting included. Null where nothing was drawn. */
  readonly timeToFirstTokenMs: Spread | null;
  readonly interTokenMs: Spread | null;
  readonly endToEndMs: Spread | null;
}

/** The figures of requests that took `seconds` in all. */
export function loadFigures(requests: readonly RequestTimes[], seconds: number): LoadFigures {
  const whole = requests.filter(({ error }) => error === undefined);
  const sum = (of: (request: RequestTimes) => number): number => whole.reduce((total, r) => total + of(r), 0);
  const [promptTokens, outputTokens] = [sum((r) => r.promptTokens), sum((r) => r.outputTokens)];
  const firsts = whole.flatMap(({ tokenMs, sentMs }) => tokenMs.slice(0, 1).map((time) => time - sentMs));
  return {
    requests: requests.length,
    errors: requests.length - whole.length,
    seconds,
    promptTokens,
    outputTokens,
    outputTokensPerSecond: outputTokens / seconds,
    promptTokensPerSecond: promptTokens / seconds,
    timeToFirstTokenMs: spread(firsts),
    interTokenMs: spread(whole.flatMap(({ tokenMs }) => gaps(tokenMs))),
    endToEndMs: spread(whole.map(({ endMs, sentMs }) => endMs - sentMs)),
  };
}

export function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - at(times, index));
}

/** Percentiles by the nearest rank; null of nothing. */
export function spread(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const rank = (part: number): number => at(sorted, Math.max(0, Math.ceil(part * sorted.length) - 1));
  return { p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: rank(1) };
}
