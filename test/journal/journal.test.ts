/** The journal's records: what they come to when they are read, and that they are believed only as far as they may be. */

import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { batchesOf, Journal, type JournalToken, MemoryJournalStore } from "../../src/journal/mod.ts";

const secret = new Uint8Array(32).fill(9);

function makeJournal(store = new MemoryJournalStore(), key = secret) {
  return { store, journal: new Journal({ store, secret: key, random: randomBytes }) };
}

const drawn = (token: number, more: Partial<JournalToken> = {}): JournalToken => ({
  ...{ token, logprob: undefined, top: [], finish: undefined },
  ...more,
});

test("streams are read as they were kept: openings of any size, tokens with everything they say", async () => {
  const { journal } = makeJournal();
  const long = JSON.stringify({ text: "né\u0000\u{1F43E}".repeat(300_000) });
  expect(Buffer.byteLength(long)).toBeGreaterThan(2_000_000);
  await journal.open(1, "long", long);
  await journal.open(1, "plain", "{}");
  const first = [drawn(5), drawn(6, { logprob: -0.1 / 3, top: [{ token: 6, logprob: -1e-17 }] })];
  await journal.tokens(1, "plain", [
    { choice: 0, from: 0, tokens: first },
    { choice: 2, from: 0, tokens: [drawn(9, { finish: "stop" })] },
  ]);
  const last = drawn(7, { logprob: -3, top: [], finish: "length" });
  await journal.tokens(1, "plain", [{ choice: 0, from: 2, tokens: [last] }]);
  await journal.open(1, "closed", "{}");
  await journal.close(1, "closed");
  const { streams, dropped } = await journal.read();
  expect(dropped).toEqual({});
  expect(streams.map(({ id, opening, epochs }) => ({ id, opening, epochs }))).toEqual([
    { id: "long", opening: long, epochs: [1] },
    { id: "plain", opening: "{}", epochs: [1] },
  ]);
  expect([...(streams[1]?.drawn ?? [])]).toEqual([
    [0, [...first, last]],
    [2, [drawn(9, { finish: "stop" })]],
  ]);
});

test("nothing of a prompt, an answer or an id lies there in the clear", async () => {
  const { journal, store } = makeJournal();
  await journal.open(1, "cmpl-name", "secret words");
  await journal.tokens(1, "cmpl-name", [{ choice: 0, from: 0, tokens: [drawn(1234567)] }]);
  const records = await Array.fromAsync(store.read());
  expect(records).toHaveLength(2);
  for (const { stream, bytes } of records) {
    const text = `${stream} ${Buffer.from(bytes).toString("latin1")}`;
    for (const word of ["secret", "words", "cmpl", "name", "1234567", "choice", "batches"]) {
      expect(text).not.toContain(word);
    }
  }
});

test("tokens in any batches, of any epochs, in any order, lost or twice: a beginning of what was drawn", async () => {
  const tally = { whole: 0, short: 0, overlapping: 0 };
  const batch = fc.record({
    epoch: fc.integer({ min: 1, max: 3 }),
    choice: fc.nat(1),
    from: fc.nat(40),
    count: fc.integer({ min: 1, max: 30 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { maxLength: 12 }), async (batches) => {
      const { journal } = makeJournal();
      await journal.open(1, "s", "{}");
      const answer = (choice: number): JournalToken[] =>
        Array.from({ length: 50 }, (_, i) => drawn(1000 * choice + i, i === 49 ? { finish: "length" } : {}));
      const covered = [new Set<number>(), new Set<number>()];
      for (const { epoch, choice, from, count } of batches) {
        const tokens = answer(choice).slice(from, from + count);
        await journal.tokens(epoch, "s", [{ choice, from, tokens }]);
        for (const i of tokens.keys()) {
          if (covered[choice]?.has(from + i)) tally.overlapping++;
          covered[choice]?.add(from + i);
        }
      }
      const { streams, dropped } = await journal.read();
      expect(dropped).toEqual({});
      for (const choice of [0, 1]) {
        let reach = 0;
        while (covered[choice]?.has(reach)) reach++;
        const own = streams[0]?.drawn.get(choice) ?? [];
        expect(own).toEqual(answer(choice).slice(0, reach));
        if (reach === 50) tally.whole++;
        else if ((covered[choice]?.size ?? 0) > reach) tally.short++;
      }
    }),
    { seed: 4, numRuns: 300 },
  );
  expect(tally.whole).toBeGreaterThan(2);
  expect(tally.short).toBeGreaterThan(100);
  expect(tally.overlapping).toBeGreaterThan(500);
});

test("records of strangers, exchanged, cut, turned or of another version are dropped with a reason", async () => {
  const { journal, store } = makeJournal();
  await journal.open(1, "a", "the opening of a");
  await journal.tokens(1, "a", [{ choice: 0, from: 0, tokens: [drawn(1), drawn(2)] }]);
  const good = await journal.read();
  const records = await Array.fromAsync(store.read());
  const [opening, tokens] = records;
  if (opening === undefined || tokens === undefined) throw new Error("There are two records.");
  const other = makeJournal(store, new Uint8Array(32).fill(8)).journal;
  await other.open(1, "a", "of another cluster");
  const hostile = [
    { ...opening, kind: "tokens" as const },
    { ...tokens, epoch: 2 },
    { ...tokens, stream: "f".repeat(32) },
    { ...tokens, bytes: tokens.bytes.subarray(1) },
    { ...tokens, bytes: new Uint8Array(0) },
    ...Array.from({ length: 40 }, (_, i) => {
      const bytes = tokens.bytes.slice();
      const at = Math.floor((i * bytes.length) / 40);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8));
      return { ...tokens, bytes };
    }),
  ];
  for (const record of hostile) await store.add(record);
  await store.add({ ...tokens, bytes: new Uint8Array(600_000) });
  const reading = await journal.read();
  expect(reading.streams).toEqual(good.streams);
  expect(reading.dropped).toEqual({
    "was written by no member": hostile.length + 1,
    "is too large": 1,
  });
});

test("members that say what cannot be are not believed either", async () => {
  const { journal } = makeJournal();
  await journal.open(1, "a", "{}");
  await journal.tokens(1, "a", [{ choice: 0, from: 0, tokens: [drawn(1), drawn(2, { finish: "stop" })] }]);
  await journal.tokens(2, "a", [{ choice: 0, from: 1, tokens: [drawn(3), drawn(4)] }]);
  await journal.tokens(2, "a", [{ choice: 0, from: 2, tokens: [drawn(5)] }]);
  await journal.tokens(1, "a", [{ choice: 500, from: 0, tokens: [drawn(1)] }]);
  await journal.tokens(1, "a", [{ choice: 0, from: -1, tokens: [drawn(1)] }]);
  await journal.tokens(1, "a", [{ choice: 0, from: 0, tokens: [drawn(-1)] }]);
  await journal.tokens(1, "nobody opened", [{ choice: 0, from: 0, tokens: [drawn(1)] }]);
  const { streams, dropped } = await journal.read();
  expect(streams).toHaveLength(1);
  expect([...(streams[0]?.drawn ?? [])]).toEqual([[0, [drawn(1), drawn(2, { finish: "stop" })]]]);
  expect(dropped).toEqual({
    "contradicts another": 1,
    "is malformed or of another version": 3,
    "is of a stream without an opening": 1,
  });
});

test("an opening of which a part is missing is none; one of an older epoch holds then", async () => {
  const { journal, store } = makeJournal();
  const long = (letter: string): string => letter.repeat(1_200_000);
  await journal.open(1, "a", long("x"));
  await journal.open(2, "a", long("y"));
  expect((await journal.read()).streams[0]?.opening).toBe(long("y"));
  const records = await Array.fromAsync(store.read());
  expect(records.length).toBeGreaterThan(4);
  const last = records.findLast(({ epoch }) => epoch === 2);
  const kept = new MemoryJournalStore();
  for (const record of records) if (record !== last) await kept.add(record);
  const { streams } = await makeJournal(kept).journal.read();
  expect(streams.map(({ opening, epochs }) => [opening, epochs])).toEqual([[long("x"), [1, 2]]]);
});

test("tokens are cut into batches that a record takes", () => {
  const tokens = Array.from({ length: 700 }, (_, i) => drawn(i));
  const batches = batchesOf(3, 10, tokens);
  expect(batches.map(({ choice, from }) => [choice, from])).toEqual([
    [3, 10],
    [3, 266],
    [3, 522],
  ]);
  expect(batches.flatMap((batch) => batch.tokens)).toEqual(tokens);
  expect(batchesOf(0, 0, [])).toEqual([]);
});
