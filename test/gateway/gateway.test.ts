/** The part of a server in a cluster: when it answers, and what becomes of streams when it no longer may. */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Gateway, type LeaseView } from "../../src/app/gateway.ts";
import { asClawError, ClawError } from "../../src/base/mod.ts";
import { type FoundStream, Journal, MemoryJournalStore, type StoredRecord } from "../../src/journal/mod.ts";
import { createLog, KeptStreams } from "../../src/server/mod.ts";
import type { ServedModel } from "../../src/server/models.ts";

/** A place for records that fails as often as it is told to. */
class UnsteadyStore extends MemoryJournalStore {
  failures = 0;

  override async *read(): AsyncGenerator<StoredRecord, void, void> {
    if (this.failures-- > 0) throw new ClawError("E_CONTROL", "It cannot be reached.");
    yield* super.read();
  }
}

function setUp(records = new UnsteadyStore()) {
  const state = { lease: { active: false, epoch: undefined, holder: undefined } as LeaseView };
  const journal = new Journal({ store: records, secret: new Uint8Array(32), random: randomBytes });
  const settings = { streamsResumable: "asked", streamsLingerSeconds: 9, streamsKeptBytes: 1e6 } as const;
  const streams = new KeptStreams({ settings: () => settings, timeout: () => () => {} });
  const left: string[] = [];
  const taken: string[] = [];
  const keep = (id: string): void => {
    const never = new AbortController();
    streams.keep({
      id,
      owner: { tenant: "t", revocationIds: [] },
      endpoint: "/v1/completions",
      model: {} as ServedModel,
      choices: 1,
      chunks: (async function* () {
        yield { choice: 0, body: { id } };
        await new Promise(() => {});
      })(),
      cancel: never,
      report: asClawError,
      onEnd: () => {},
      journalled: { leave: () => left.push(id), close: () => left.push(`${id} closed`) },
    });
  };
  const refused = new Map<string, ClawError>();
  /** What it was told of as a standby: each stream, with how many tokens of it. */
  const expected: string[] = [];
  const gateway = new Gateway({
    lease: () => state.lease,
    journal,
    required: true,
    streams,
    takeOver: async ({ id }: FoundStream) => {
      const error = refused.get(id);
      if (error !== undefined) throw error;
      taken.push(id);
      keep(id);
    },
    expect: async ({ id, drawn }: FoundStream) => {
      expected.push(`${id} ${drawn.get(0)?.length ?? 0}`);
      if (refused.has(id)) throw refused.get(id);
    },
    clock: () => performance.now(),
    timeout: (_, expire) => {
      setImmediate(expire);
      return () => {};
    },
    log: createLog({ logLevel: "error", logFormat: "json" }, { write: () => {} }),
  });
  const become = (active: boolean, epoch: number, holder: string): void => {
    state.lease = { active, epoch, holder };
    gateway.look();
  };
  return { records, journal, streams, gateway, become, keep, left, taken, refused, state, expected };
}

const owner = { tenant: "t", revocationIds: [] };

describe("a server", () => {
  test("answers only while it holds the lease, and says who does", async () => {
    const { gateway, become } = setUp();
    await expect(gateway.tenure()).rejects.toMatchObject({ code: "E_STANDBY" });
    expect(gateway.standby).toEqual({ holder: undefined });
    become(false, 3, "other");
    await expect(gateway.tenure()).rejects.toThrow(/other/);
    expect(gateway.standby).toEqual({ holder: "other" });
    become(true, 4, "self");
    const tenure = await gateway.tenure();
    expect(gateway.standby).toBeUndefined();
    tenure.check();
    become(false, 5, "other");
    expect(tenure.signal.aborted).toBe(true);
    expect(() => tenure.check()).toThrow(/other/);
    expect(gateway.counts).toMatchObject({ holds: false, epoch: 4, takeovers: 1 });
  });

  test("sees that the lease is over before anybody tells it", async () => {
    const { gateway, become, state } = setUp();
    become(true, 1, "self");
    const tenure = await gateway.tenure();
    state.lease = { active: false, epoch: 1, holder: "self" };
    expect(() => tenure.check()).toThrow(/No server|self/);
    expect(tenure.signal.aborted).toBe(false);
    await expect(gateway.tenure()).rejects.toMatchObject({ code: "E_STANDBY" });
    expect(tenure.signal.aborted).toBe(true);
  });

  test("goes on with what others left, also where the journal cannot be read at first; requests wait for that", async () => {
    const { journal, records, gateway, become, taken, streams } = setUp();
    await journal.open(1, "one", "{}");
    await journal.open(1, "two", "{}");
    records.failures = 5;
    become(true, 2, "self");
    await gateway.tenure();
    expect(records.failures).toBe(-1);
    expect(taken.toSorted()).toEqual(["one", "two"]);
    expect(streams.find("one", owner).id).toBe("one");
    expect(gateway.counts).toMatchObject({ inherited: 2, lost: 0 });
  });

  test("follows the streams of another as they grow, until it holds the lease itself", async () => {
    const { journal, records, become, gateway, expected, refused } = setUp();
    const token = { token: 1, logprob: undefined, top: [], finish: undefined };
    const draw = (id: string, from: number, count: number): Promise<void> =>
      journal.tokens(1, id, [{ choice: 0, from, tokens: new Array(count).fill(token) }]);
    const told = async (...all: string[]): Promise<void> => {
      while (expected.length < all.length) await sleep(1);
      // As often as it looks meanwhile, nothing is told twice.
      await sleep(20);
      expect(expected.splice(0)).toEqual(all);
    };
    await journal.open(1, "one", "{}");
    refused.set("one", new ClawError("E_STREAM", "Another model."));
    records.failures = 3;
    become(false, 1, "other");
    await told("one 0");
    await journal.open(1, "two", "{}");
    await draw("two", 0, 40);
    await told("two 40");
    await draw("two", 40, 20);
    await draw("one", 0, 31);
    await told();
    await draw("two", 60, 10);
    await told("two 70");
    become(true, 2, "self");
    await gateway.tenure();
    await draw("two", 70, 100);
    await told();
    become(false, 3, "other");
    await told("one 31", "two 170");
    gateway.handOver();
    await draw("two", 170, 100);
    await told();
  });

  test("a stream that cannot be taken over keeps no other from it, and is left for who can, unless its time is over", async () => {
    const { journal, gateway, become, taken, refused } = setUp();
    for (const id of ["one", "two", "three"]) await journal.open(1, id, "{}");
    refused.set("one", new ClawError("E_STREAM", "Another model."));
    refused.set("two", new ClawError("E_DEADLINE", "Too late."));
    become(true, 2, "self");
    await gateway.tenure();
    expect(taken).toEqual(["three"]);
    expect(gateway.counts).toMatchObject({ inherited: 1, lost: 2 });
    await sleep(1);
    expect((await journal.read()).streams.map(({ id }) => id)).toEqual(["one", "three"]);
  });

  test("keeps its streams while nobody else held the lease, and leaves them to whoever does", async () => {
    const { gateway, become, keep, streams, left } = setUp();
    become(true, 1, "self");
    await gateway.tenure();
    keep("own");
    become(false, 1, "self");
    expect(streams.has("own")).toBe(true);
    become(true, 1, "self");
    await gateway.tenure();
    expect(streams.has("own")).toBe(true);
    expect(gateway.counts.takeovers).toBe(1);
    become(false, 2, "other");
    expect(streams.has("own")).toBe(false);
    // Not closed: the other one goes on with it.
    expect(left).toEqual(["own"]);
  });

  test("that comes back as the holder of a later epoch begins with the journal again", async () => {
    const { gateway, become, keep, journal, streams, taken } = setUp();
    become(true, 1, "self");
    await gateway.tenure();
    keep("old");
    await journal.open(2, "of the other", "{}");
    become(true, 3, "self");
    await gateway.tenure();
    expect(streams.has("old")).toBe(false);
    expect(taken).toEqual(["of the other"]);
  });

  test("takes no stream out of the journal once it may be another's", async () => {
    const { gateway, become, journal } = setUp();
    become(true, 1, "self");
    const { journal: own } = await gateway.tenure();
    await own?.open("a", "{}");
    await own?.open("b", "{}");
    await own?.close("a");
    become(false, 1, "self");
    await expect(own?.close("b")).rejects.toMatchObject({ code: "E_STANDBY" });
    become(false, 2, "other");
    // It is that one's for good: nobody here tries again.
    await own?.close("b");
    expect((await journal.read()).streams.map(({ id }) => id)).toEqual(["b"]);
  });

  test("loses the lease while it looks at the journal: who waits is told, and it begins again", async () => {
    const { gateway, become, journal, records, taken } = setUp();
    await journal.open(1, "one", "{}");
    records.failures = Number.POSITIVE_INFINITY;
    become(true, 2, "self");
    const waiting = gateway.tenure();
    await sleep(1);
    become(false, 3, "other");
    await expect(waiting).rejects.toMatchObject({ code: "E_STANDBY" });
    records.failures = 0;
    become(true, 4, "self");
    await gateway.tenure();
    expect(taken).toEqual(["one"]);
  });

  test("that stops leaves its streams, whatever the lease", async () => {
    const { gateway, become, keep, left } = setUp();
    become(true, 1, "self");
    const tenure = await gateway.tenure();
    keep("own");
    gateway.handOver();
    expect(tenure.signal.aborted).toBe(true);
    expect(left).toEqual(["own"]);
    await expect(gateway.tenure()).rejects.toMatchObject({ code: "E_STANDBY" });
  });
});
