/** Runtimes that are kept ready: given away at once, made anew, and never used when they are not what is wanted. */

import { describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { SparedSource } from "../../src/cluster/shards/spared-source.ts";
import type { OpenRuntime, Parallelism, RuntimeSource } from "../../src/engine/mod.ts";
import { until } from "./until.ts";

const one: Parallelism = { tensor: 1, pipeline: 1 };
const two: Parallelism = { tensor: 2, pipeline: 1 };

/** A runtime of which only life and death matter here. */
class Opened {
  readonly parallelism: Parallelism;
  readonly #lost = new AbortController();
  closed = false;

  constructor(parallelism: Parallelism) {
    this.parallelism = parallelism;
  }

  get runtime(): OpenRuntime {
    const close = async (): Promise<void> => {
      this.closed = true;
    };
    return { lost: this.#lost.signal, close } as OpenRuntime;
  }

  lose(): void {
    this.#lost.abort(new ClawError("E_LINK", "On purpose."));
  }
}

class Counting implements RuntimeSource {
  readonly opened: Opened[] = [];
  /** More are refused. */
  most = Number.POSITIVE_INFINITY;
  closed = false;

  async open(parallelism: Parallelism): Promise<OpenRuntime> {
    if (this.opened.length >= this.most) throw new ClawError("E_MEMORY", "On purpose.");
    const opened = new Opened(parallelism);
    this.opened.push(opened);
    return opened.runtime;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

function setUp() {
  const source = new Counting();
  const missing: string[] = [];
  const options = { pause: async () => {}, onMissing: ({ code }: ClawError) => void missing.push(code) };
  return { source, missing, spared: new SparedSource(source, options) };
}

const ready = (source: Counting, count: number): Promise<void> => until(() => source.opened.length === count);

describe("a spare", () => {
  test("is what is opened next, and another takes its place", async () => {
    const { source, spared } = setUp();
    await spared.open(one);
    await ready(source, 2);
    const next = await spared.open(one);
    expect(next.lost).toBe(source.opened[1]?.runtime.lost);
    await ready(source, 3);
    await spared.close();
    expect(source.opened.map(({ closed }) => closed)).toEqual([false, false, true]);
    expect(source.closed).toBe(true);
  });

  test("of another kind gives way before what is wanted is opened", async () => {
    const { source, spared } = setUp();
    await spared.open(one);
    await ready(source, 2);
    await spared.open(two);
    expect(source.opened[1]?.closed).toBe(true);
    await ready(source, 4);
    expect(source.opened.map(({ parallelism }) => parallelism.tensor)).toEqual([1, 1, 2, 2]);
  });

  test("that was lost while it waited is not given away, but replaced", async () => {
    const { source, spared } = setUp();
    await spared.open(one);
    await ready(source, 2);
    source.opened[1]?.lose();
    await ready(source, 3);
    expect(source.opened[1]?.closed).toBe(true);
    const next = await spared.open(one);
    expect(next.lost).toBe(source.opened[2]?.runtime.lost);
  });

  test("that cannot be had is missed, and nothing else", async () => {
    const { source, missing, spared } = setUp();
    source.most = 1;
    await spared.open(one);
    await until(() => missing.length === 1);
    expect(missing).toEqual(["E_MEMORY"]);
    source.most = Number.POSITIVE_INFINITY;
    await spared.open(one);
    await ready(source, 3);
  });
});
