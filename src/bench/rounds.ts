/** Ours and the peer's rounds by turns, so that what disturbs the machine disturbs both. */

import { assert, at } from "../base/mod.ts";

/** Runs one round; seconds by the name of what was timed. */
export type Round<Name extends string> = () => Promise<Readonly<Record<Name, number>>>;

/** Seconds of every round, in order. */
export type Times<Name extends string> = Readonly<Record<Name, readonly number[]>>;

/** The middle value; of an even number the lower one of the two. */
export function median(values: readonly number[]): number {
  assert(values.length > 0, "A median needs a value.");
  return at(
    values.toSorted((a, b) => a - b),
    Math.floor((values.length - 1) / 2),
  );
}

/** The median of each name's rounds. */
export function medians<Name extends string>(times: Times<Name>): Readonly<Record<Name, number>> {
  const entries = Object.entries<readonly number[]>(times).map(([name, values]) => [name, median(values)]);
  return Object.fromEntries(entries) as Record<Name, number>;
}

/**
 * Runs `count` rounds of each contender, interleaved, after one of each that does not count. Who begins changes with
 * every round.
 */
export async function interleave<A extends string, B extends string>(
  count: number,
  ours: Round<A>,
  peer: Round<B> | undefined,
): Promise<{ readonly ours: Times<A>; readonly peer: Times<B> | undefined }> {
  const own: Record<string, number[]> = {};
  const other: Record<string, number[]> = {};
  const turns = [
    async (): Promise<void> => record(own, await ours()),
    ...(peer === undefined ? [] : [async (): Promise<void> => record(other, await peer())]),
  ];
  for (let round = 0; round <= count; round++) {
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn();
  }
  const counted = (times: Record<string, number[]>): Times<string> =>
    Object.fromEntries(Object.entries(times).map(([name, values]) => [name, values.slice(1)]));
  return {
    ours: counted(own) as Times<A>,
    peer: peer === undefined ? undefined : (counted(other) as Times<B>),
  };
}

function record(times: Record<string, number[]>, round: Readonly<Record<string, number>>): void {
  for (const [name, seconds] of Object.entries(round)) {
    times[name] ??= [];
    times[name].push(seconds);
  }
}
