/** A folder of pages that is kept like another server's, over real links: what comes and goes, peers that lie or break off, bounds. */

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { jsonAnswer } from "../../src/cluster/link/mod.ts";
import { ExchangeThread } from "../../src/cluster/mod.ts";
import { openPages } from "../../src/cluster/nodes/request.ts";
import { FolderChanges } from "../../src/cluster/pages/folder-changes.ts";
import { CHANGES_MAX, GONE_MAX, LINKS_MAX, LOOK_MS, PART_BYTES_MAX } from "../../src/cluster/pages/limits.ts";
import { pagesRequestBytes } from "../../src/cluster/pages/message.ts";
import { PageHost } from "../../src/cluster/pages/mod.ts";
import { PageSource } from "../../src/cluster/pages/source.ts";
import { pageOf } from "../../src/engine/page-file.ts";
import { type Link, nativeAvailable } from "../../src/kernels/mod.ts";
import { makeFolder } from "../cli/claw.ts";
import { Random } from "../kernels/random.ts";
import { PageHosts, type PageLie, Place } from "./page-hosts.ts";
import { until } from "./until.ts";

const secret = new Uint8Array(randomBytes(32));
const hosts = new PageHosts(secret);
const parent = makeFolder();
let places = 0;
let holder: Place;
let standby: Place;

beforeEach(() => {
  places++;
  holder = new Place(join(parent, `holder-${places}`));
  standby = new Place(join(parent, `standby-${places}`));
});
afterEach(() => hosts.close());

const page = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
const name = (index: number): string => `${String(index).padStart(64, "0")}.page`;

/** Whether the standby has what the holder has, byte for byte, and nothing else but what is its own. */
function alike(own: readonly string[] = []): boolean {
  const expected = [...holder.names(), ...own].sort();
  const found = standby.names();
  return (
    found.join() === expected.join() &&
    holder.names().every((each) => standby.file(each).equals(holder.file(each)))
  );
}

/** All files there are whole pages, within so many bytes, and nothing else lies about. */
function expectSound(bytesMax = 1e9): void {
  const sizes = standby.all().map((each) => {
    if (each === "folder-id") return 0;
    expect(each).toMatch(/^[0-9a-f]{64}\.page$/);
    expect(pageOf(each, standby.file(each))).toBeDefined();
    return standby.file(each).length;
  });
  expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(bytesMax);
}

describe.skipIf(!nativeAvailable())("pages of another server (skipped where no native core is built)", () => {
  test("come, of whatever size, and go when they are gone there; its own ones stay", async () => {
    const sizes = [0, 1, 1000, PART_BYTES_MAX - 32, PART_BYTES_MAX, 2.5 * PART_BYTES_MAX];
    for (const [i, bytes] of sizes.entries()) await holder.put(`a${i}`, page(bytes));
    await standby.put("own", page(500));
    const own = standby.names();
    const host = new PageHost(holder.folder);
    const follower = hosts.follower(standby.folder);
    follower.follow(hosts.honest("holder", host));
    await until(() => alike(own));
    const whole = holder.names().reduce((sum, each) => sum + holder.file(each).length, 0);
    expect(host.handedOut).toBe(whole);
    // More than an answer tells of.
    const many = CHANGES_MAX + 100;
    for (let i = 0; i < many; i++) holder.store.put(`b${i}`, page(20));
    await holder.drop("a1");
    await until(() => alike(own));
    expect(standby.names().length).toBe(sizes.length - 1 + many + 1);
    for (let i = 0; i < many; i++) await holder.drop(`b${i}`);
    await until(() => alike(own));
    expect(host.handedOut).toBe(whole + many * 52);
    // Nobody is followed any more: what came stays, and nothing comes.
    await follower.close();
    const before = standby.names();
    await holder.put("late", page(10));
    await holder.drop("a2");
    await sleep(300);
    expect(standby.names()).toEqual(before);
    expect(hosts.notes).toEqual([]);
    expectSound();
  });

  test("are the newest that there is room for, whatever happens in between", {
    timeout: 60_000,
  }, async () => {
    const random = new Random(20260801);
    const bytesMax = 60_000;
    let breaks = 0;
    const breaking: PageLie = (_, answer) => {
      if (!random.chance(12)) return answer;
      breaks++;
      return undefined;
    };
    const honest = hosts.honest("holder", new PageHost(holder.folder));
    const broken = hosts.liar("holder", honest, breaking);
    const follower = hosts.follower(standby.folder, bytesMax);
    await standby.put("own", page(20_000));
    let [puts, drops] = [0, 0];
    const keys: string[] = [];
    // How many answers there are, and so breaks, depends on the machine.
    for (let i = 0; i < 120 || (breaks < 6 && i < 2000); i++) {
      follower.follow(random.chance(4) ? undefined : broken);
      if (keys.length === 0 || !random.chance(3)) {
        keys.push(`key ${puts++}`);
        await holder.put(keys.at(-1) as string, page(random.between(0, 8000)));
      } else {
        drops++;
        await holder.drop(keys.splice(random.between(0, keys.length - 1), 1)[0] as string);
      }
      await sleep(random.between(0, 20));
      expectSoundSoFar(bytesMax);
    }
    const there = (await new FolderChanges(holder.folder).reader()(0)).changes;
    const newest = there.toReversed().flatMap(([each], i, list) => {
      const bytes = list.slice(0, i + 1).reduce((sum, [, size]) => sum + size, 0);
      return bytes <= bytesMax ? [each] : [];
    });
    expect(newest.length).toBeLessThan(there.length);
    follower.follow(honest);
    await until(() => newest.every((each) => existsSync(join(standby.folder, each))));
    await follower.close();
    expectSound(bytesMax);
    expect([puts > 50, drops > 20, breaks > 5]).toEqual([true, true, true]);
  });

  /** While files come and go: those that are whole. */
  function expectSoundSoFar(bytesMax: number): void {
    const sizes = standby.names().map((each) => {
      const seen = statSync(join(standby.folder, each), { throwIfNoEntry: false });
      return seen?.size ?? 0;
    });
    expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(bytesMax);
  }

  const flipped = (answer: Uint8Array): Uint8Array =>
    answer.with(-1 + answer.length, (answer.at(-1) ?? 0) ^ 1);
  const said = (ask: string, lie: (answer: Uint8Array, count: number) => Uint8Array | undefined): PageLie => {
    return (asked, answer, count) => (asked.ask === ask ? lie(answer, count) : answer);
  };
  const changes = (list: unknown, more: unknown = false, number: unknown = 1): PageLie =>
    said("changes", () => jsonAnswer({ changes: list, more, number }));
  const lies: Record<string, PageLie> = {
    "other bytes": said("bytes", flipped),
    "another page": said("bytes", (answer) =>
      Buffer.concat([answer.subarray(0, 1), randomBytes(answer.length - 1)]),
    ),
    "too little": said("bytes", (answer) => answer.subarray(0, -1)),
    "too much": said("bytes", (answer) => Buffer.concat([answer, answer])),
    nothing: said("bytes", () => new Uint8Array(0)),
    "no answer": said("changes", (answer) => answer.with(0, 7)),
    "no document": said("changes", (answer) => answer.subarray(0, 10)),
    "a refusal of no shape": said("changes", () => jsonAnswer({ code: 1 }).with(0, 1)),
    "no folder": said("folder", () => jsonAnswer("here")),
    "a path": changes([[`../${name(1)}`, 40]]),
    "an absolute path": changes([[join(parent, "outside.page"), 40]]),
    "a name of another kind": changes([["folder-id", 40]]),
    "a negative size": changes([[name(1), -1]]),
    "a size without bound": changes([[name(1), 2 ** 40]]),
    "changes that go on for ever": changes([], true, 0),
    "too many changes": changes(Array.from({ length: CHANGES_MAX + 1 }, (_, i) => [name(i), 1])),
    "an answer without bound": said("changes", () => new Uint8Array(2 ** 20)),
  };

  test.each(Object.keys(lies))(
    "come from nobody who says %s, and then from one who does not",
    async (what) => {
      let told = 0;
      await holder.put("a", page(3000));
      await holder.put("b", page(PART_BYTES_MAX + 5));
      const honest = hosts.honest("holder", new PageHost(holder.folder));
      const lie = lies[what] as PageLie;
      const counted: PageLie = (asked, answer, count) => {
        const other = lie(asked, answer, count);
        if (other !== answer) told++;
        return other;
      };
      const follower = hosts.follower(standby.folder);
      const before = new Set(new Place(parent).all());
      follower.follow(hosts.liar("mallory", honest, counted));
      await until(() => hosts.notes.length > 0);
      expect(told).toBeGreaterThan(0);
      for (const note of hosts.notes) expect(note).toMatch(/^Copies of pages of mallory are not kept: /);
      expect(standby.names()).toEqual([]);
      expect(new Place(parent).all().filter((each) => !before.has(each))).toEqual([]);
      follower.follow(honest);
      await until(() => alike());
      await follower.close();
      expectSound();
    },
  );

  test("that a peer says it has not are not asked for again and again", async () => {
    await holder.put("a", page(100));
    const honest = hosts.honest("holder", new PageHost(holder.folder));
    let asked = 0;
    const none: PageLie = said("bytes", () => {
      asked++;
      return jsonAnswer({ code: "E_NODE", message: "It is gone." }).with(0, 1);
    });
    hosts.follower(standby.folder).follow(hosts.liar("holder", honest, none));
    await until(() => asked > 0);
    await sleep(700);
    expect(asked).toBe(1);
  });

  test("are not left in part where a peer breaks off, and come when it is back", async () => {
    const sizes = [3, 2, 4].map((parts) => parts * PART_BYTES_MAX);
    for (const [i, bytes] of sizes.entries()) await holder.put(`a${i}`, page(bytes));
    let broken = 0;
    const honest = hosts.honest("holder", new PageHost(holder.folder));
    const peer = hosts.liar("holder", honest, (asked, answer) => {
      // In the middle of a file, twice.
      if (broken === 2 || asked.ask !== "bytes" || asked.from === 0) return answer;
      broken++;
      return undefined;
    });
    hosts.follower(standby.folder).follow(peer);
    await until(() => broken === 1);
    await sleep(50);
    expectSound();
    await until(() => alike());
    expect(broken).toBe(2);
    expect(hosts.links).toBeGreaterThanOrEqual(3);
    expectSound();
  });

  test("come to who begins late, when more has come and gone than is remembered", async () => {
    const [lasting, passing] = [CHANGES_MAX + 100, GONE_MAX + 100];
    for (let i = 0; i < lasting; i++) holder.store.put(`a${i}`, page(20));
    await holder.store.settled();
    const peer = hosts.honest("holder", new PageHost(holder.folder));
    const source = new PageSource(await openPages(peer.address, { name: "x", secret }));
    let number = 0;
    const hear = async (): Promise<void> => {
      for (let more = true; more; ) ({ number, more } = await source.changes(number));
    };
    await hear();
    const passed = Array.from({ length: passing }, (_, i) => join(holder.folder, name(i)));
    for (const path of passed) writeFileSync(path, "gone soon");
    await sleep(LOOK_MS);
    await hear();
    expect(number).toBe(lasting + passing);
    for (const path of passed) rmSync(path);
    await sleep(LOOK_MS);
    // Who knew of them is told that not all can be said.
    await expect(source.changes(lasting)).rejects.toMatchObject({ code: "E_NODE" });
    source.close();
    hosts.follower(standby.folder).follow(peer);
    await until(() => alike());
    expect([standby.names().length, hosts.notes]).toEqual([lasting, []]);
  });

  test("of the same folder are its own, by whatever path", async () => {
    for (let i = 0; i < 5; i++) await holder.put(`a${i}`, page(1000));
    const link = join(parent, `link-${places}`);
    symlinkSync(holder.folder, link);
    const peer = hosts.honest("holder", new PageHost(holder.folder));
    const follower = hosts.follower(link, 100);
    follower.follow(peer);
    await until(() => hosts.links === 1);
    await sleep(700);
    expect([hosts.links, hosts.notes, holder.names().length]).toEqual([1, [], 5]);
    expect(follower.folder.fetched.size).toBe(0);
  });

  test("are all that a host tells and hands out, within their bounds", async () => {
    await holder.put("a", page(100));
    writeFileSync(join(parent, "outside"), "a secret of the machine");
    symlinkSync(join(parent, "outside"), join(holder.folder, name(1)));
    mkdirSync(join(holder.folder, name(2)));
    writeFileSync(join(holder.folder, `${name(3)}.1-1`), "not whole");
    const pipe = join(holder.folder, name(4));
    expect(spawnSync("sh", ["-c", 'mkfifo "$0"', pipe]).status).toBe(0);
    const peer = hosts.honest("holder", new PageHost(holder.folder));
    const open = () => openPages(peer.address, { name: "x", secret });
    const source = new PageSource(await open());
    const [real = ""] = holder.names().filter((each) => !/^0{9}/.test(each));
    expect((await source.changes(0)).changes).toEqual([[real, 132]]);
    for (const each of [name(1), name(2), name(4), name(5)]) {
      await expect(source.file(each, 23)).rejects.toMatchObject({ code: "E_NODE" });
    }
    await expect(source.file(real, 133)).rejects.toMatchObject({ code: "E_NODE" });
    await expect(source.changes(99)).rejects.toMatchObject({ code: "E_LINK_PEER" });
    expect(pageOf(real, await source.file(real, 132))).toBeDefined();
    source.close();
    const rules = [
      { ask: "bytes", name: "../outside", from: 0, length: 5 },
      { ask: "bytes", name: real, from: -1, length: 5 },
      { ask: "bytes", name: real, from: 0, length: PART_BYTES_MAX + 1 },
      { ask: "bytes", name: `${name(3)}.1-1`, from: 0, length: 5 },
      { ask: "everything" },
    ];
    for (const broken of rules) {
      const link = await open();
      await link.queueSend(pagesRequestBytes(broken as never));
      await expect(link.queueReceive(new Uint8Array(100))).rejects.toMatchObject({ code: "E_LINK" });
      link.end();
    }
  });

  test("keep no link for a standby that takes nothing of what it asked for", async () => {
    await holder.put("a", page(PART_BYTES_MAX));
    const [real = ""] = holder.names();
    const host = new PageHost(holder.folder, 500);
    const serve = host.serve.bind(host);
    let ended = 0;
    host.serve = (peer) => serve(peer).finally(() => ended++);
    const peer = hosts.honest("holder", host);
    const asked = { ask: "bytes", name: real, from: 0, length: PART_BYTES_MAX } as const;
    for (const standbys of [1, 2]) {
      const link = await openPages(peer.address, { name: "x", secret });
      // More than the buffers of a connection take.
      for (let i = 0; i < 32; i++) link.queueSend(pagesRequestBytes(asked)).catch(() => {});
      await until(() => ended === standbys);
      link.end();
    }
    expect(host.handedOut).toBeLessThan(2 * 32 * PART_BYTES_MAX);
  });

  test("are no server's in a folder that cannot be used, which is said as it is", async () => {
    const task = { host: "127.0.0.1", secret, model: undefined, name: "one" };
    const events = { onHandedOut: () => {}, onNote: () => {} };
    writeFileSync(join(holder.folder, "folder-id"), "nothing");
    const copies = { folder: holder.folder, bytesMax: 1e9 };
    const starting = ExchangeThread.start({ ...task, copies }, events);
    await expect(starting).rejects.toMatchObject({ name: "ClawError", code: "E_FILE" });
    await expect(starting).rejects.toBeInstanceOf(ClawError);
    // One that has ended by itself is closed all the same.
    const ended = await ExchangeThread.start({ ...task, copies: undefined }, events);
    await ended.close();
    await ended.close();
  });

  test("go from one server's thread to another's, and to nobody without the secret", async () => {
    const task = { host: "127.0.0.1", secret, model: undefined };
    const notes: string[] = [];
    const events = { onHandedOut: () => {}, onNote: (text: string) => notes.push(text) };
    const copies = ({ folder }: Place) => ({ folder, bytesMax: 1e9 });
    const [one, other, none] = await Promise.all([
      ExchangeThread.start({ ...task, name: "one", copies: copies(holder) }, events),
      ExchangeThread.start({ ...task, name: "other", copies: copies(standby) }, events),
      ExchangeThread.start({ ...task, name: "none", copies: undefined }, events),
    ]);
    try {
      await holder.put("a", page(2_000_000));
      other.follow({ name: "one", address: one.address });
      await until(() => alike());
      // Now the other one is the holder.
      other.follow(undefined);
      await standby.put("b", page(1000));
      one.follow({ name: "other", address: other.address });
      await until(() => alike());
      expect(holder.names().length).toBe(2);
      const asker = { name: "x", secret };
      await expect(openPages(none.address, asker)).rejects.toMatchObject({ code: "E_NODE" });
      const stranger = { name: "x", secret: new Uint8Array(32) };
      await expect(openPages(one.address, stranger)).rejects.toMatchObject({ code: "E_LINK_PEER" });
      const links: Link[] = [];
      // One is followed over.
      while (links.length < LINKS_MAX - 1) links.push(await openPages(other.address, asker));
      await expect(openPages(other.address, asker)).rejects.toMatchObject({ code: "E_NODE" });
      for (const link of links) link.end();
    } finally {
      await Promise.all([one.close(), other.close(), none.close()]);
    }
  });
});
