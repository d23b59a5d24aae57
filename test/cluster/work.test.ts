/** What a server tells its engine's thread: when it is something else, and whether there is room for both. */

import { expect, test } from "vitest";
import { workEpoch } from "../../src/cluster/mod.ts";
import { holderOf } from "../../src/cluster/nodes/epoch.ts";
import { roomForBoth, sameWork, type Work } from "../../src/cluster/nodes/work.ts";

const work = (nodes: readonly string[], bytes: number, change: Partial<Work> = {}): Work => ({
  ...{ holder: 1, degrees: { tensor: null, pipeline: null } },
  plan: {
    ...{ model: "m", format: "i8", output: nodes.at(-1) ?? "" },
    stages: nodes.map((node, i) => ({
      layers: [i, i + 1] as const,
      ranks: [{ node, attention: [0, 1] as const, ffn: [0, 1] as const }],
    })),
  },
  nodes: nodes.map((name) => ({ name, life: `${name}1`, address: { host: "127.0.0.1", port: 1 } })),
  memory: nodes.map(() => ({ bytes, bytesMax: 100 })),
  ...change,
});

test("work is another one for other ranks, another life of a node, or another holder", () => {
  const first = work(["a", "b"], 40);
  expect(sameWork(first, work(["a", "b"], 50))).toBe(true);
  expect(sameWork(first, work(["b", "a"], 40))).toBe(false);
  expect(sameWork(first, { ...first, holder: 2 })).toBe(false);
  const [a, b] = first.nodes;
  expect(sameWork(first, { ...first, nodes: [a!, { ...b!, life: "b2" }] })).toBe(false);
});

test("both have room where no node holds more than it has, with all of its ranks", () => {
  expect(roomForBoth(work(["a", "b"], 50), work(["b", "c"], 50))).toBe(true);
  expect(roomForBoth(work(["a", "b"], 51), work(["b", "c"], 50))).toBe(false);
  expect(roomForBoth(work(["a", "b"], 90), work(["c", "d"], 90))).toBe(true);
  expect(roomForBoth(work(["a", "a"], 30), work(["a", "b"], 50))).toBe(false);
});

test("a later holder's runtimes are all newer; an earlier one's number tells whose it is", () => {
  expect(workEpoch(3, 2 ** 20 - 1)).toBeLessThan(workEpoch(4, 0));
  expect([workEpoch(3, 0), workEpoch(3, 77)].map(holderOf)).toEqual([3, 3]);
  expect(Number.isSafeInteger(workEpoch(2 ** 32, 5))).toBe(true);
  expect(() => workEpoch(1, 2 ** 20)).toThrow();
});
