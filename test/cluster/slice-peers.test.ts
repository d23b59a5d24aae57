/** Fetching slices from peers that lie, break off, or ask for what is not theirs; what is kept of them on the disk. */

import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Turns } from "../../src/cluster/link/mod.ts";
import { openSlices, SliceFetch, SliceHost, type SlicePeer } from "../../src/cluster/mod.ts";
import { LINKS_MAX } from "../../src/cluster/slices/limits.ts";
import { partBytes, partsOf } from "../../src/cluster/slices/parts.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import {
  compile,
  type ModelSeal,
  measureSeal,
  proportionalPlacement,
  type RankProgram,
} from "../../src/model/mod.ts";
import { scarceDisk } from "../audit/scarce-disk.ts";
import { makeFolder } from "../cli/claw.ts";
import { Random } from "../kernels/random.ts";
import { type RandomModel, writeModel } from "./models.ts";
import { type Lie, ROOM, SliceHosts } from "./slice-hosts.ts";
import { until } from "./until.ts";

const folder = makeFolder();
const secret = new Uint8Array(randomBytes(32));
const MIB = 1024 * 1024;
const hosts = new SliceHosts(secret);
const honest = hosts.honest.bind(hosts);
const liar = hosts.liar.bind(hosts);
afterEach(() => hosts.close());

const disk = scarceDisk();
const canFill = disk.how.startsWith("a file system");
const whyNot = canFill ? "" : " (skipped: this user may mount no file system)";
afterAll(() => disk.remove());

const flipped = (answer: Uint8Array): Uint8Array => answer.with(answer.length - 1, (answer.at(-1) ?? 0) ^ 1);

describe.skipIf(!nativeAvailable())("slices from peers (skipped where no native core is built)", () => {
  let random: RandomModel;
  let seal: ModelSeal;
  let programs: RankProgram[];
  let content: Buffer;

  beforeAll(async () => {
    random = writeModel(
      {
        ...{
          architecture: "llama",
          name: "random",
          layers: 2,
          width: 512,
          heads: 8,
          kvHeads: 4,
          headDim: 64,
        },
        ...{
          ffnWidth: 1024,
          vocabulary: 64,
          context: 256,
          normEpsilon: Math.fround(1e-5),
          tiedOutput: false,
        },
        rope: { pairs: "adjacent", base: 10_000, positionDivisor: 1, frequencyDivisors: undefined },
      },
      new Random(5),
    );
    seal = await measureSeal(random.path);
    content = readFileSync(random.path);
    const { description } = random.file;
    const placement = proportionalPlacement(description, { stages: [1, 1], shards: [1, 1] });
    programs = compile(description, { format: "i8", placement });
  });

  afterAll(() => random.remove());

  const hosting = (): SliceHost => new SliceHost([{ path: random.path, seal }]);
  const rank = (index: number): RankProgram => programs[index] as RankProgram;
  const slice = (index: number): number => partBytes(partsOf(random.file.gguf, rank(index)));

  interface Fetched {
    readonly path: string;
    /** Bytes that came from peers. */
    readonly fetched: number;
    readonly notes: readonly string[];
  }

  let places = 0;
  const place = (): string => join(folder, `slices-${++places}`);

  async function fetchSlice(
    into: string,
    { index = 1, peers, trusted, bytesMax, onProgress }: Fetching,
  ): Promise<Fetched> {
    const notes: string[] = [];
    let fetched = 0;
    const fetch = await SliceFetch.begin({
      ...{ root: seal.root, folder: into, trusted: trusted ?? peers.at(-1)!, peers, bytesMax },
      open: (peer, root) => openSlices(peer.address, { name: "rank", secret }, root),
      onNote: (text) => notes.push(text),
      onProgress: (progress) => {
        fetched = progress.fetched;
        onProgress?.();
      },
    });
    try {
      return { path: await fetch.slice(rank(index)), fetched, notes };
    } finally {
      await fetch.close();
    }
  }

  interface Fetching {
    readonly index?: number;
    readonly peers: readonly SlicePeer[];
    readonly trusted?: SlicePeer;
    readonly bytesMax?: number;
    readonly onProgress?: () => void;
  }

  /** Whether every byte that a rank reads is the model's, and all others are none. */
  function expectSlice(path: string, indices: readonly number[]): void {
    const found = readFileSync(path);
    const expected = Buffer.alloc(content.length);
    content.copy(expected, 0, 0, random.file.gguf.dataOffset);
    for (const { pieces } of indices.flatMap((index) => partsOf(random.file.gguf, rank(index)))) {
      for (const { offset, length, stride, count } of pieces) {
        for (let run = 0; run < count; run++) {
          const from = offset + run * stride;
          content.copy(expected, from, from, from + length);
        }
      }
    }
    expect(found.length).toBe(expected.length);
    expect(found.equals(expected)).toBe(true);
  }

  test("are what the program reads: rows, columns and whole tensors, and take no more disk", async () => {
    for (const index of [0, 1, 2, 3]) {
      const host = hosting();
      const { path, fetched, notes } = await fetchSlice(place(), { index, peers: [honest("good", host)] });
      expectSlice(path, [index]);
      expect(notes).toEqual([]);
      const header = random.file.gguf.dataOffset;
      expect(fetched).toBe(slice(index) + header);
      expect(host.handedOut).toBe(fetched);
      expect(fetched).toBeLessThan(content.length / 3);
      // Blocks of the disk: a run of columns is 1 KiB or 2 KiB here, so a block of 4 KiB holds more than the slice's own.
      expect(statSync(path).blocks * 512).toBeLessThan(0.6 * content.length);
    }
  });

  const lies: [string, string, Lie][] = [
    ["a bit of a piece", "not the model's", (_, answer, count) => (count === 4 ? flipped(answer) : answer)],
    ["the header", "header is not", (_, answer, count) => (count === 1 ? flipped(answer) : answer)],
    ["a hash", "hashes of", ({ ask }, answer) => (ask === "hashes" ? flipped(answer) : answer)],
    [
      "the seal",
      "none of this root",
      ({ ask }, answer) => {
        if (ask !== "seal") return answer;
        const text = Buffer.from(answer).toString("latin1");
        const [digest = ""] = /(?<="blk\.0\.attn_q\.weight":")[0-9a-f]{64}/.exec(text) ?? [];
        return Buffer.from(text.replace(digest, "0".repeat(64)), "latin1");
      },
    ],
    ["no seal", "no seal", ({ ask }, answer) => (ask === "seal" ? Uint8Array.of(0, 123) : answer)],
    ["too short", "were due", (_, answer, count) => (count === 3 ? answer.subarray(0, -1) : answer)],
    ["too long", "", (_, answer, count) => (count === 3 ? Buffer.concat([answer, answer, answer]) : answer)],
    ["nothing at all", "no answer", (_, answer, count) => (count === 3 ? new Uint8Array() : answer)],
    ["garbage", "no answer", (_, answer, count) => (count === 3 ? Uint8Array.of(7, 7) : answer)],
    [
      "that it has none",
      "has none",
      (_, answer, count) => (count === 3 ? refusing("E_SLICE", "has none") : answer),
    ],
    ["goodbye", "", (_, answer, count) => (count === 5 ? undefined : answer)],
  ];

  test.each(lies)("a peer that says %s is named, and another one asked", async (_, why, lie) => {
    const good = honest("good", hosting());
    const bad = liar("bad", good, lie);
    const { path, notes, fetched } = await fetchSlice(place(), { peers: [bad, good], trusted: good });
    expectSlice(path, [1]);
    expect(notes.length).toBe(1);
    expect(notes[0]).toContain("The node bad gave no good part");
    expect(notes[0]).toContain(why);
    // What was good of it was kept.
    expect(fetched).toBeLessThan(slice(1) + 3 * random.file.gguf.dataOffset + 4 * MIB);
  });

  test("are not had from liars alone, and the error names them", async () => {
    const good = honest("good", hosting());
    const lie: Lie = (_, answer, count) => (count > 3 ? flipped(answer) : answer);
    const peers = ["one", "two"].map((name) => liar(name, good, lie));
    const into = place();
    const fetching = fetchSlice(into, { peers, trusted: good });
    await expect(fetching).rejects.toMatchObject({
      code: "E_SLICE",
      message: expect.stringMatching(/one.*not the model's.*two.*not the model's/),
    });
    // Nothing wrong was written: all that is there is the model's.
    const [file = ""] = readdirSync(into);
    const found = readFileSync(join(into, file));
    let wrong = 0;
    for (let at = 0; at < found.length; at++) if (found[at] !== 0 && found[at] !== content[at]) wrong++;
    expect(wrong).toBe(0);
  });

  test("go on after a break with what is missing, and replace what the disk damaged", async () => {
    const host = hosting();
    const good = honest("good", host);
    const breaking = liar("breaking", good, (_, answer, count) => (count > 8 ? undefined : answer));
    const into = place();
    await expect(fetchSlice(into, { peers: [breaking], trusted: good })).rejects.toMatchObject({
      code: "E_SLICE",
    });
    const first = host.handedOut;
    expect(first).toBeGreaterThan(2 * MIB);
    const { path, fetched } = await fetchSlice(into, { peers: [good] });
    expectSlice(path, [1]);
    // Of what was handed out, only what was under way was lost.
    const kept = slice(1) - fetched;
    expect(kept).toBeGreaterThan(MIB);
    expect(first - kept).toBeLessThan(3 * MIB + 2 * random.file.gguf.dataOffset);
    expect(fetched).toBeGreaterThan(0);
    // Nothing is fetched that is there.
    expect((await fetchSlice(into, { peers: [good] })).fetched).toBe(0);
    const place1 = partsOf(random.file.gguf, rank(1))[2]!.pieces[0]!;
    const file = await open(path, "r+");
    await file.write(Uint8Array.of(content[place1.offset]! ^ 1), 0, 1, place1.offset);
    await file.close();
    const again = await fetchSlice(into, { peers: [good] });
    expect(again.fetched).toBe(place1.length * place1.count);
    expectSlice(again.path, [1]);
    // A file that was cut, and one with another header.
    truncateSync(path, 1000);
    expectSlice((await fetchSlice(into, { peers: [good] })).path, [1]);
  });

  test("of another plan join those that are there, within the bound; beyond it the file is another one", async () => {
    const good = honest("good", hosting());
    const into = place();
    const header = random.file.gguf.dataOffset;
    const first = await fetchSlice(into, { index: 0, peers: [good] });
    const second = await fetchSlice(into, { index: 3, peers: [good] });
    expect(second.path).toBe(first.path);
    expectSlice(second.path, [0, 3]);
    const bytesMax = Math.round(statSync(second.path).blocks * 512 + 0.2 * slice(1));
    const third = await fetchSlice(into, { index: 1, peers: [good], bytesMax });
    expect(third.path).not.toBe(first.path);
    expectSlice(third.path, [1]);
    expect(readdirSync(into).length).toBe(1);
    const none = fetchSlice(place(), { index: 1, peers: [good], bytesMax: slice(1) + header - 1 });
    await expect(none).rejects.toMatchObject({
      code: "E_SLICE",
      message: expect.stringContaining("more than"),
    });
  });

  test("of other models go first, those used longest ago", async () => {
    const good = honest("good", hosting());
    const into = place();
    mkdirSync(into);
    const others = ["a", "b"].map((letter) => join(into, `${letter.repeat(64)}-0.slice.gguf`));
    for (const other of others) writeFileSync(other, Buffer.alloc(2 * MIB, 1));
    const { path } = await fetchSlice(into, { peers: [good], bytesMax: slice(1) + 3 * MIB });
    expectSlice(path, [1]);
    expect(readdirSync(into).length).toBe(2);
    expect(readdirSync(into).some((name) => name.startsWith("b".repeat(64)))).toBe(true);
  });

  test.skipIf(!canFill)(
    `are refused by a full disk, and fetched when it has room again${whyNot}`,
    async () => {
      const good = honest("good", hosting());
      const into = join(disk.folder, "slices");
      let filled = 0;
      const fill = (): void => {
        if (filled++ === 0) disk.fill(process.pid);
      };
      const none = fetchSlice(into, { peers: [good], bytesMax: 100 * MIB, onProgress: fill });
      await expect(none).rejects.toMatchObject({
        code: "E_SLICE",
        message: expect.stringContaining("ENOSPC"),
      });
      expect(filled).toBeGreaterThan(0);
      const before = fetchSlice(into, { peers: [good], bytesMax: 100 * MIB });
      await expect(before).rejects.toMatchObject({
        code: "E_SLICE",
        message: expect.stringContaining("free"),
      });
      disk.free(process.pid);
      const { path, fetched } = await fetchSlice(into, { peers: [good], bytesMax: 100 * MIB });
      expectSlice(path, [1]);
      expect(fetched).toBeLessThan(slice(1));
    },
  );

  test("are handed out within the file, a piece at a time, and only of models that are there", async () => {
    const host = hosting();
    const peer = honest("good", host);
    const size = content.length;
    const ask = async (request: object): Promise<Buffer> => {
      const link = await openSlices(peer.address, { name: "x", secret }, seal.root);
      try {
        await link.queueSend(Buffer.from(JSON.stringify(request)));
        const room = Buffer.alloc(ROOM);
        return room.subarray(0, await link.queueReceive(room));
      } finally {
        link.end();
      }
    };
    const extent = (offset: number, length: number, [stride, count] = [length, 1]) => {
      return { offset, length, stride, count };
    };
    const outside = [
      extent(size, 1),
      extent(size - 10, 11),
      extent(0, 1, [MIB, MIB]),
      extent(0, 1, [size, 2]),
      extent(2 ** 52, 1),
      extent(0, 8, [2 ** 52, 1000]),
      extent(0, MIB, [MIB, 2]),
      extent(0, 8, [4, 2]),
    ];
    for (const of of outside) {
      for (const request of [
        { ask: "bytes", of },
        { ask: "hashes", of: [of] },
      ]) {
        const answer = await ask(request);
        expect([answer[0], answer.subarray(1).toString()]).toEqual([
          1,
          expect.stringContaining("E_LINK_PEER"),
        ]);
      }
    }
    expect(host.handedOut).toBe(0);
    // What no member says ends the link.
    const wrong = [
      ...[extent(-1, 1), extent(0, 0), extent(0, MIB + 1), extent(0.5, 1), { offset: 0 }].map((of) => ({
        ask: "bytes",
        of,
      })),
      ...[
        { ask: "all" },
        [],
        { ask: "hashes", of: [] },
        { ask: "hashes", of: new Array(129).fill(extent(0, 1)) },
      ],
    ];
    for (const request of wrong) await expect(ask(request)).rejects.toMatchObject({ code: "E_LINK" });
    expect(() => host.check("cd".repeat(32))).toThrow("not handed out");
    const last = await ask({ ask: "bytes", of: extent(size - 5, 5) });
    expect(last.equals(Buffer.concat([Buffer.of(0), content.subarray(size - 5)]))).toBe(true);
    expect(host.handedOut).toBe(5);
  });

  test("are handed out over so many links and no more, a piece at a time", async () => {
    const host = hosting();
    const peer = honest("good", host);
    const links = [];
    for (let count = 0; count < LINKS_MAX; count++) {
      links.push(await openSlices(peer.address, { name: "x", secret }, seal.root));
    }
    const asked = { ask: "bytes", of: { offset: 0, length: 1000, stride: 1000, count: 1 } };
    const answers = links.map(async (link) => {
      await link.queueSend(Buffer.from(JSON.stringify(asked)));
      return link.queueReceive(new Uint8Array(ROOM));
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([1001]));
    expect(() => host.check(seal.root)).toThrow(`over ${LINKS_MAX} links`);
    for (const link of links.slice(1)) link.end();
    await until(() => {
      try {
        host.check(seal.root);
        return true;
      } catch {
        return false;
      }
    });
    links[0]?.end();
  });

  test("are read in turns", async () => {
    const turns = new Turns(2);
    const begun: number[] = [];
    let [now, most] = [0, 0];
    const work = (index: number) => async (): Promise<number> => {
      begun.push(index);
      most = Math.max(most, ++now);
      await sleep(1);
      now--;
      if (index === 3) throw new Error("three");
      return index;
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => turns.take(work(i))));
    expect(outcomes.filter(({ status }) => status === "rejected").length).toBe(1);
    expect(begun).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect([now, most]).toEqual([0, 2]);
  });
});

function refusing(code: string, message: string): Uint8Array {
  return Buffer.concat([Buffer.of(1), Buffer.from(JSON.stringify({ code, message }))]);
}
