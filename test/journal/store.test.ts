/** What both places for the journal's records keep: in the process, and NATS. */

import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNatsJournal } from "../../src/cluster/mod.ts";
import {
  type JournalStore,
  MemoryJournalStore,
  RECORD_BYTES_MAX,
  type StoredRecord,
} from "../../src/journal/mod.ts";
import { NatsServer, natsHere } from "../cluster/nats-server.ts";

const server = new NatsServer();
beforeAll(async () => {
  if (natsHere) await server.start();
});
afterAll(() => server.remove());

let bucket = 0;
const openNats = (): Promise<JournalStore> =>
  openNatsJournal({ servers: [server.address], bucket: `b${bucket++}` });

const stores: readonly (readonly [string, () => Promise<JournalStore>])[] = [
  ["in the process", async () => new MemoryJournalStore()],
  ...(natsHere ? [["NATS", openNats] as const] : []),
];

const name = (letter: string): string => letter.repeat(32);
const record = (epoch: number, stream: string, bytes: readonly number[]): StoredRecord => ({
  ...{ epoch, stream, kind: "tokens" as const },
  bytes: Uint8Array.from(bytes),
});
const all = async (store: JournalStore): Promise<StoredRecord[]> =>
  (await Array.fromAsync(store.read())).map(({ bytes, ...place }) => ({
    ...place,
    bytes: Uint8Array.from(bytes),
  }));

describe.each(stores)("records %s", (_, open) => {
  test("are read in the order in which they were added, until their epoch's are taken away", async () => {
    const store = await open();
    expect(await all(store)).toEqual([]);
    const records = [
      record(1, name("a"), [1]),
      record(1, name("b"), []),
      record(2, name("a"), [2, 3]),
      record(1, name("a"), [4]),
      { ...record(2, name("b"), [5]), kind: "opening" as const },
    ];
    for (const each of records) await store.add(each);
    expect(await all(store)).toEqual(records);
    await store.remove(1, name("a"));
    await store.remove(3, name("b"));
    const rest = records.filter(({ epoch, stream }) => epoch !== 1 || stream !== name("a"));
    expect(await all(store)).toEqual(rest);
    for (const { epoch, stream } of rest) await store.remove(epoch, stream);
    expect(await all(store)).toEqual([]);
    await store.close();
  });

  test("may be as large as a record may be, and many", async () => {
    const store = await open();
    const large = { ...record(1, name("c"), []), bytes: new Uint8Array(RECORD_BYTES_MAX).fill(7) };
    const added = [large, ...Array.from({ length: 700 }, (__, i) => record(1, name("d"), [i & 255]))];
    await Promise.all(added.map((each) => store.add(each)));
    const read = await all(store);
    expect(read).toHaveLength(added.length);
    expect(read.find(({ stream }) => stream === name("c"))).toEqual(large);
    await store.close();
  });
});

describe.skipIf(!natsHere)("records on NATS (needs nats-server)", () => {
  test("outlive their server's kill and are seen by every process; strangers' subjects are nowhere", async () => {
    const options = { servers: [server.address], bucket: "shared" };
    const [one, other] = [await openNatsJournal(options), await openNatsJournal(options)];
    await one.add(record(1, name("a"), [1]));
    await server.kill();
    await server.start();
    await one.add(record(1, name("a"), [2])).catch(() => one.add(record(1, name("a"), [2])));
    const stranger = await connect({ servers: [server.address] });
    stranger.publish("openclaw.journal.shared.x.y", "garbage");
    stranger.publish(`openclaw.journal.shared.1.${name("A")}.tokens`, "garbage");
    await stranger.flush();
    // Its connection may still be on the way back.
    const again = () => all(other);
    const read = await again().catch(again).catch(again);
    expect(read.filter(({ stream }) => stream === name("a")).map(({ bytes }) => [...bytes])).toEqual([
      [1],
      [2],
    ]);
    expect(read.filter(({ stream }) => stream === "")).toHaveLength(2);
    for (const each of [one, other, stranger]) await each.close();
  });

  test("a server that is not there is said so", async () => {
    const nobody = openNatsJournal({ servers: ["127.0.0.1:1"], bucket: "b" });
    await expect(nobody).rejects.toMatchObject({ code: "E_CONTROL" });
  });
});
