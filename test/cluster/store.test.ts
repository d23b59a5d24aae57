/** What every control plane keeps: the one of a single process, and NATS, which is killed in the middle. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ControlStore, type Entry, MemoryStore, openNatsStore } from "../../src/cluster/mod.ts";
import { NatsServer, natsHere } from "./nats-server.ts";
import { until } from "./until.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (entry: Entry | undefined): string | undefined =>
  entry?.value === undefined ? undefined : new TextDecoder().decode(entry.value);

interface Driver {
  readonly name: string;
  readonly here: boolean;
  /** Two views of one control plane of its own. */
  open(): Promise<[ControlStore, ControlStore]>;
}

const server = new NatsServer();
let buckets = 0;

const drivers: readonly Driver[] = [
  {
    name: "in the process",
    here: true,
    open: async () => {
      const store = new MemoryStore();
      return [store, store];
    },
  },
  {
    name: natsHere ? "NATS" : "NATS (skipped: nats-server is not installed)",
    here: natsHere,
    open: async () => {
      const options = { servers: [server.address], bucket: `test-${buckets++}` };
      return [await openNatsStore(options), await openNatsStore(options)];
    },
  },
];

beforeAll(() => (natsHere ? server.start() : undefined));
afterAll(() => server.remove());

describe.each(drivers.filter(({ here }) => here))("$name", ({ open }) => {
  test("a key is written only over the revision that was seen", async () => {
    const [one, other] = await open();
    expect(await one.read("a")).toBeUndefined();
    const made = await one.write({ key: "a", value: bytes("1"), expected: 0 });
    if (made.kind !== "done") throw new Error("The first write conflicts.");
    expect(await other.write({ key: "a", value: bytes("2"), expected: 0 })).toEqual({ kind: "conflict" });
    const found = await other.read("a");
    expect([textOf(found), found?.revision]).toEqual(["1", made.revision]);
    const next = await other.write({ key: "a", value: bytes("3"), expected: made.revision });
    expect(next.kind === "done" && next.revision > made.revision).toBe(true);
    expect(await one.write({ key: "a", value: bytes("4"), expected: made.revision })).toEqual({
      kind: "conflict",
    });
    expect(await one.write({ key: "a", value: undefined, expected: made.revision })).toEqual({
      kind: "conflict",
    });
    expect(textOf(await one.read("a"))).toBe("3");
    await Promise.all([one.close(), other.close()]);
  });

  test("of many writers over one revision one is done", async () => {
    const [one, other] = await open();
    for (let round = 0; round < 20; round++) {
      const expected = (await one.read("race"))?.revision ?? 0;
      const outcomes = await Promise.all(
        [one, other, one, other].map((store, index) =>
          store.write({ key: "race", value: bytes(`${round} ${index}`), expected }),
        ),
      );
      const done = outcomes.flatMap(({ kind }, index) => (kind === "done" ? [index] : []));
      expect(done).toHaveLength(1);
      expect(textOf(await other.read("race"))).toBe(`${round} ${done[0]}`);
    }
    await Promise.all([one.close(), other.close()]);
  });

  test("a deleted key is not there, and can be made anew with a higher revision", async () => {
    const [one, other] = await open();
    const made = await one.write({ key: "gone", value: bytes("1"), expected: 0 });
    if (made.kind !== "done") throw new Error("The first write conflicts.");
    expect((await other.write({ key: "gone", value: undefined, expected: made.revision })).kind).toBe("done");
    expect(await one.read("gone")).toBeUndefined();
    const again = await one.write({ key: "gone", value: bytes("2"), expected: 0 });
    expect(again.kind === "done" && again.revision > made.revision).toBe(true);
    await Promise.all([one.close(), other.close()]);
  });

  test("a watcher is told what is there, then changes in their order up to the last, then nothing", async () => {
    const [one, other] = await open();
    const made = await one.write({ key: "w", value: bytes("0"), expected: 0 });
    let revision = made.kind === "done" ? made.revision : 0;
    const seen: Entry[] = [];
    const end = await other.watch((entry) => seen.push(entry));
    await until(() => seen.length === 1);
    for (let n = 1; n <= 20; n++) {
      const outcome = await one.write({ key: "w", value: bytes(String(n)), expected: revision });
      revision = outcome.kind === "done" ? outcome.revision : 0;
    }
    await one.write({ key: "w", value: undefined, expected: revision });
    await until(() => seen.at(-1)?.value === undefined);
    // Values that were soon written over may be left out.
    const told = seen.map(textOf);
    expect(told[0]).toBe("0");
    expect(told.at(-1)).toBeUndefined();
    const numbers = told.slice(0, -1).map(Number);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    const revisions = seen.map((entry) => entry.revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    end();
    const count = seen.length;
    await one.write({ key: "w", value: bytes("more"), expected: 0 });
    await one.write({ key: "other", value: bytes("x"), expected: 0 });
    expect(seen).toHaveLength(count);
    await Promise.all([one.close(), other.close()]);
  });

  test("bytes stay what they are", async () => {
    const [one, other] = await open();
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await one.write({ key: "bytes", value: all, expected: 0 });
    all.fill(0);
    expect((await other.read("bytes"))?.value).toEqual(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    await Promise.all([one.close(), other.close()]);
  });
});

describe.skipIf(!natsHere)(`NATS alone${natsHere ? "" : " (skipped: nats-server is not installed)"}`, () => {
  test("killed and started again: nothing acknowledged is lost, watchers are told what they missed", async () => {
    const own = new NatsServer();
    await own.start();
    const options = { servers: [own.address], bucket: "kill" };
    const [one, other] = [await openNatsStore(options), await openNatsStore(options)];
    const seen: string[] = [];
    await other.watch((entry) => seen.push(textOf(entry) ?? ""));
    let revision = 0;
    let kept = "";
    for (let round = 0; round < 2; round++) {
      const text = `before kill ${round}`;
      const outcome = await one.write({ key: "k", value: bytes(text), expected: revision });
      if (outcome.kind === "done") kept = text;
      await own.kill();
      await expect(one.write({ key: "k", value: bytes("lost"), expected: revision })).rejects.toMatchObject({
        code: "E_CONTROL",
      });
      await own.start();
      let found: Entry | undefined;
      await until(async () => {
        found = await one.read("k").catch(() => undefined);
        return found !== undefined;
      });
      expect([kept, "lost"]).toContain(textOf(found));
      revision = found?.revision ?? 0;
      const after = `after kill ${round}`;
      await until(async () => {
        const tried = await one
          .write({ key: "k", value: bytes(after), expected: revision })
          .catch(() => undefined);
        revision = (await one.read("k").catch(() => undefined))?.revision ?? revision;
        return tried?.kind === "done";
      });
      await until(() => seen.includes(after));
    }
    await Promise.all([one.close(), other.close()]);
    await own.remove();
  });

  test("where no server is, the error says so", async () => {
    const nobody = openNatsStore({ servers: ["127.0.0.1:1"], bucket: "x" });
    await expect(nobody).rejects.toMatchObject({ code: "E_CONTROL" });
  });
});
