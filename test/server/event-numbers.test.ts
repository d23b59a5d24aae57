/** The numbers of a stream's events, whatever the order in which its answers come, and wherever it is cut. */

import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { asClawError } from "../../src/base/mod.ts";
import type { ServedModel } from "../../src/server/models.ts";
import type { Chunk } from "../../src/server/rendering.ts";
import { type KeptStream, KeptStreams, parseEventId } from "../../src/server/streams/mod.ts";
import { alone } from "../../src/server/streams/standing.ts";

const tally = { streams: 0, cuts: 0, unlike: 0, waited: 0, forgotten: 0 };
afterAll(() => console.info(`event numbers: ${JSON.stringify(tally)}`));

const owner = { tenant: "t", revocationIds: [] };

/** Event `n` of an answer; the server that sends it changes nothing of it. */
const bodyOf = (choice: number, n: number): object => ({ choice, n, text: "x".repeat(n % 7) });

/** Answers of so many events each, drawn in an order that `order` decides. */
async function* chunksOf(lengths: readonly number[], order: readonly number[]): AsyncGenerator<Chunk> {
  const sent = lengths.map(() => 0);
  for (let turn = 0; ; turn++) {
    const open = lengths.flatMap((length, choice) => ((sent[choice] ?? 0) < length ? [choice] : []));
    if (open.length === 0) return;
    const choice = open[(order[turn % order.length] ?? 0) % open.length] ?? 0;
    if (turn % 5 === 4) await new Promise((resolve) => setImmediate(resolve));
    sent[choice] = (sent[choice] ?? 0) + 1;
    yield { choice, body: bodyOf(choice, sent[choice] ?? 0) };
  }
}

interface Drawn {
  readonly lengths: readonly number[];
  readonly order: readonly number[];
}

function streamOf({ lengths, order }: Drawn, { keptBytes = 1e9, catchesUp = false } = {}): KeptStream {
  const settings = {
    streamsResumable: "asked",
    streamsLingerSeconds: 1,
    streamsKeptBytes: keptBytes,
  } as const;
  const streams = new KeptStreams({ settings: () => settings, timeout: () => () => {} });
  tally.streams++;
  return streams.keep({
    id: "cmpl-a1",
    owner,
    endpoint: "/v1/completions",
    model: {} as ServedModel,
    choices: lengths.length,
    chunks: chunksOf(lengths, order),
    cancel: new AbortController(),
    report: asClawError,
    onEnd: () => {},
    catchesUp,
  });
}

const tenure = await alone.tenure();

/** Events after the one with this id, at most so many. */
async function read(stream: KeptStream, from: readonly number[], max: number): Promise<string[]> {
  const { signal } = new AbortController();
  const events: string[] = [];
  stream.follows(from);
  for await (const event of stream.read(from, { signal, tenure })) {
    events.push(event);
    if (events.length >= max) break;
  }
  return events;
}

function idOf(event: string | undefined): readonly number[] | undefined {
  const id = /^id: (.*)$/m.exec(event ?? "")?.[1];
  return id === undefined ? undefined : parseEventId(id).counts;
}

const dataOf = (event: string): string => /^data: (.*)$/m.exec(event)?.[1] ?? "";

const lengths = fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 4 });
const order = fc.array(fc.nat(5), { minLength: 1, maxLength: 30 });
const cuts = fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.nat(2)), { minLength: 1, maxLength: 12 });

test("read in any pieces, from servers that draw in any order, each answer has the bytes of one reading", async () => {
  await fc.assert(
    fc.asyncProperty(lengths, fc.tuple(order, order, order), cuts, async (counts, orders, pieces) => {
      const servers = new Map<number, KeptStream>();
      const server = (index: number): KeptStream => {
        const begun =
          servers.get(index) ??
          streamOf({ lengths: counts, order: orders[index] ?? [0] }, { catchesUp: true });
        servers.set(index, begun);
        return begun;
      };
      const whole = await read(
        streamOf({ lengths: counts, order: orders[0] }),
        counts.map(() => 0),
        1e9,
      );
      const events: string[] = [];
      const position = () => idOf(events.at(-1)) ?? counts.map(() => 0);
      for (const [max, index] of [...pieces, [1e9, 0] as const]) {
        const before = position();
        const stream = server(index);
        if (stream.log.counts.some((count, choice) => count < (before[choice] ?? 0))) tally.waited++;
        events.push(...(await read(stream, before, max)));
        tally.cuts++;
      }
      const own = (list: readonly string[], choice: number): string[] =>
        list.map(dataOf).filter((data) => data === "[DONE]" || data.startsWith(`{"choice":${choice},`));
      for (const choice of counts.keys()) expect(own(events, choice)).toEqual(own(whole, choice));
      expect(events).toHaveLength(whole.length);
      expect(idOf(events.at(-1))).toEqual(idOf(whole.at(-1)));
      if (counts.length === 1) expect(events).toEqual(whole);
      else if (events.join("") !== whole.join("")) tally.unlike++;
    }),
    { seed: 31, numRuns: 300 },
  );
  expect(tally.cuts).toBeGreaterThan(1500);
  expect(tally.unlike).toBeGreaterThan(50);
  expect(tally.waited).toBeGreaterThan(50);
});

test("a reader never misses an event that is forgotten; who comes back later is told", async () => {
  await fc.assert(
    fc.asyncProperty(lengths, order, fc.integer({ min: 1, max: 30 }), async (counts, turns, max) => {
      const stream = streamOf({ lengths: counts, order: turns }, { keptBytes: 300 });
      const none = counts.map(() => 0);
      const first = read(stream, none, max);
      const whole = await read(stream, none, 1e9);
      expect(whole.length).toBe(counts.reduce((sum, count) => sum + count, 0) + 1);
      const had = await first;
      expect(had).toEqual(whole.slice(0, max));
      const id = idOf(had.at(-1)) ?? none;
      const rest = await read(stream, id, 1e9).catch((error: { code: string }) => error.code);
      if (rest === "E_PARAMETER") tally.forgotten++;
      else expect(rest).toEqual(whole.slice(max));
    }),
    { seed: 32, numRuns: 200 },
  );
  expect(tally.forgotten).toBeGreaterThan(20);
});
