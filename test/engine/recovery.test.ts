/** While what computes is gone: deadlines, cancellations, new requests, attempts, and when they end. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClawError, type ErrorCode } from "../../src/base/mod.ts";
import { FAILED_STEPS_MAX, OPEN_ATTEMPTS_MAX } from "../../src/engine/limits.ts";
import { EngineLoop } from "../../src/engine/loop.ts";
import {
  createRuntime,
  defaultSampling,
  Engine,
  type GenerationRequest,
  type OpenRuntime,
  type Runtime,
  type RuntimeSource,
} from "../../src/engine/mod.ts";
import { Recovery } from "../../src/engine/recovery.ts";
import type { Device } from "../../src/kernels/mod.ts";
import { until } from "../cluster/until.ts";
import { nativeDevices, reference, type TinyModel, tinyModel } from "./tiny.ts";

const SIZES = { format: "i8", context: 160, batch: 2, batchMax: 4, rows: 32 } as const;

let tiny: TinyModel;
let device: Device;
let runtime: Runtime;

beforeAll(async () => {
  tiny = tinyModel(4);
  device = (nativeDevices.at(-1) ?? reference).open();
  runtime = await createRuntime(device, tiny.model, SIZES);
});

afterAll(() => {
  device.close();
  tiny.remove();
});

/** A device's runtime that fails from now on with whatever it is told. */
class Fragile {
  readonly opened: OpenRuntime;
  closed = false;
  readonly #lost = new AbortController();
  #failure: ClawError | undefined;

  constructor(pages = runtime.pages, failsAt: (tokens: Int32Array) => boolean = () => false) {
    const { executable } = runtime;
    const execute = async (rows: number, outputs: number): Promise<void> => {
      if (failsAt(executable.step.tokens.subarray(0, rows))) this.lose("E_LINK");
      if (this.#failure !== undefined) throw this.#failure;
      await executable.execute(rows, outputs);
    };
    const report = {
      device: "x",
      threads: 1,
      weightBytes: 0,
      bufferBytes: 0,
      weights: "model",
      warning: undefined,
    } as const;
    this.opened = {
      ...runtime,
      pages,
      pagesMax: pages,
      executable: { ...executable, step: executable.step, execute },
      report,
      lost: this.#lost.signal,
      close: async () => {
        this.closed = true;
      },
    };
  }

  lose(code: ErrorCode): void {
    this.#failure = new ClawError(code, "On purpose.");
    this.#lost.abort(this.#failure);
  }
}

/** Opens what it is given, one after the other; then it has nothing. */
class Stock implements RuntimeSource {
  readonly #stock: (Fragile | Promise<Fragile>)[];
  asked = 0;
  closed = false;

  constructor(...stock: (Fragile | Promise<Fragile>)[]) {
    this.#stock = stock;
  }

  async open(): Promise<OpenRuntime> {
    this.asked++;
    const next = await this.#stock.shift();
    if (next === undefined) throw new ClawError("E_LINK", "Nothing is left.");
    return next.opened;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Has room for one at a time. */
class Cramped implements RuntimeSource {
  readonly opened: Fragile[];

  constructor(opened: Fragile[]) {
    this.opened = opened;
  }

  async open(): Promise<OpenRuntime> {
    if (this.opened.some(({ closed }) => !closed)) throw new ClawError("E_MEMORY", "There is no room.");
    const next = new Fragile();
    this.opened.push(next);
    return next.opened;
  }

  async close(): Promise<void> {}
}

function setUp(first: Fragile, source: RuntimeSource) {
  const clock = { now: 0 };
  const log: string[] = [];
  const delays: number[] = [];
  const looks: (() => void)[] = [];
  const engine = new Engine({ ...first.opened, vocabulary: 512, batch: 2, clock: () => clock.now });
  const loop = new EngineLoop(engine, {
    pause: () => new Promise((resolve) => setImmediate(resolve)),
    failed: (error) => recovery.failed(error),
  });
  const listener = {
    lost: (error: ClawError) => log.push(`lost ${error.code}`),
    retried: () => {},
    moved: (why: string) => log.push(`moved ${why}`),
    gaveUp: ({ code }: ClawError) => {
      const { running, waiting } = engine.load;
      log.push(`gave up ${code} before ${running + waiting} failed`);
    },
  };
  const delay = async (ms: number): Promise<void> => void delays.push(ms);
  const every = (_: number, work: () => void): (() => void) => {
    looks.push(work);
    return () => looks.pop();
  };
  const plan = { runtime: first.opened, parallelism: { tensor: 1, pipeline: 1 } };
  const recovery = new Recovery({ engine, loop, source, listener, delay, every }, plan);
  /** `onToken` is told how many there are. */
  const ask = (change: Partial<GenerationRequest> = {}, onToken: (count: number) => unknown = () => {}) => {
    const { promise, resolve } = Promise.withResolvers<readonly number[] | ErrorCode>();
    const tokens: number[] = [];
    const request = {
      ...{ prompt: Int32Array.from([1, 2, 3]), maxTokens: 20, stopTokens: [] },
      ...{ sampling: { ...defaultSampling, temperature: 0 }, ...change },
    };
    const id = engine.submit(request, {
      token: ({ token, finish }) => {
        onToken(tokens.push(token));
        if (finish !== undefined) resolve(tokens);
      },
      failed: ({ code }) => resolve(code),
    });
    loop.wake();
    return { id, answer: promise, tokens };
  };
  return { engine, loop, recovery, log, delays, looks, clock, ask };
}

describe("while another runtime is awaited", () => {
  test("requests wait, come, are cancelled and end when their time is over; then they go on", async () => {
    const first = new Fragile();
    const next = Promise.withResolvers<Fragile>();
    const { engine, log, looks, clock, ask, recovery } = setUp(first, new Stock(next.promise));
    const expected = await ask().answer;
    const running = ask({}, (count) => count === 3 && first.lose("E_LINK"));
    const late = ask({ deadlineMs: 100 });
    await until(() => log.length > 0);
    expect(log).toEqual(["lost E_LINK"]);
    expect(first.closed).toBe(true);
    const cancelled = ask();
    const more = ask();
    engine.cancel(cancelled.id);
    clock.now = 200;
    for (const look of looks) look();
    expect(await late.answer).toBe("E_DEADLINE");
    next.resolve(new Fragile());
    expect(await running.answer).toEqual(expected);
    expect(await more.answer).toEqual(expected);
    expect(cancelled.tokens).toEqual([]);
    expect(log).toEqual(["lost E_LINK", "moved loss"]);
    expect(looks).toEqual([]);
    expect(engine.load).toMatchObject({ running: 0, waiting: 0, pagesFree: runtime.pages });
    await recovery.close();
  });

  test("attempts come after growing delays, and end: then every request fails", async () => {
    const first = new Fragile();
    const stock = new Stock();
    const { log, delays, ask } = setUp(first, stock);
    const running = ask({}, (count) => count === 3 && first.lose("E_LINK"));
    expect(await running.answer).toBe("E_LINK");
    expect(stock.asked).toBe(OPEN_ATTEMPTS_MAX);
    expect(delays).toHaveLength(OPEN_ATTEMPTS_MAX - 1);
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(log).toEqual(["lost E_LINK", "gave up E_LINK before 1 failed"]);
    expect(await ask().answer).toBe("E_LINK");
    expect(stock.asked).toBe(OPEN_ATTEMPTS_MAX);
  });

  test("closing does not wait for it, and what is opened later is closed", async () => {
    const first = new Fragile();
    const next = Promise.withResolvers<Fragile>();
    const { loop, log, ask, recovery } = setUp(first, new Stock(next.promise));
    ask({}, (count) => count === 3 && first.lose("E_LINK"));
    await until(() => log.length > 0);
    recovery.stop();
    await loop.close();
    await recovery.close();
    const late = new Fragile();
    next.resolve(late);
    await until(() => late.closed);
  });
});

describe("a step that fails", () => {
  test("for another reason than a lost rank fails its requests, and what computes is replaced", async () => {
    const first = new Fragile();
    const { log, ask } = setUp(first, new Stock(new Fragile()));
    const running = ask({}, (count) => count === 3 && first.lose("E_MEMORY"));
    expect(await running.answer).toBe("E_MEMORY");
    expect(await ask().answer).toHaveLength(20);
    expect(log).toEqual(["lost E_MEMORY", "moved loss"]);
  });

  test("again and again takes the request along that is in each, and no other", async () => {
    const deadly = (tokens: Int32Array): boolean => tokens.includes(499);
    const stock = Array.from({ length: FAILED_STEPS_MAX + 2 }, () => new Fragile(runtime.pages, deadly));
    const source = new Stock(...stock);
    const { ask } = setUp(new Fragile(runtime.pages, deadly), source);
    const expected = ask();
    const before = await expected.answer;
    const poisoned = ask({ prompt: Int32Array.from([5, 499]) });
    const other = ask();
    expect(await poisoned.answer).toBe("E_ENGINE_RESTARTED");
    expect(await other.answer).toEqual(before);
    expect(source.asked).toBe(FAILED_STEPS_MAX + 1);
  });
});

describe("another runtime", () => {
  test("that cannot be opened leaves the one that runs", async () => {
    const { log, ask, recovery } = setUp(new Fragile(), new Stock());
    const running = ask();
    await expect(recovery.change({ tensor: 2, pipeline: 1 })).rejects.toMatchObject({ code: "E_LINK" });
    expect(await running.answer).toHaveLength(20);
    expect(log).toEqual([]);
  });

  test("takes the place of the one that runs where there is no memory for both", async () => {
    const first = new Fragile();
    const source = new Cramped([first]);
    const { log, ask, recovery } = setUp(first, source);
    const expected = await ask().answer;
    const changed = Promise.withResolvers<void>();
    const running = ask({}, (count) => {
      if (count === 3) changed.resolve(recovery.change({ tensor: 2, pipeline: 1 }));
    });
    await changed.promise;
    expect(await running.answer).toEqual(expected);
    expect(log).toEqual(["moved change"]);
    expect(source.opened.map(({ closed }) => closed)).toEqual([true, false]);
  });

  test("that is smaller takes whoever fits, and limits come back with a larger one", async () => {
    const [small, large] = [new Fragile(2), new Fragile()];
    const { engine, ask, recovery } = setUp(new Fragile(), new Stock(small, large));
    const wide = ask({ prompt: Int32Array.from({ length: 70 }, (_, i) => i), maxTokens: 50 });
    const changed = Promise.withResolvers<void>();
    const fitting = ask({}, (count) => {
      if (count === 3) changed.resolve(recovery.change({ tensor: 1, pipeline: 1 }));
    });
    await changed.promise;
    expect(await wide.answer).toBe("E_CONTEXT");
    expect(await fitting.answer).toHaveLength(20);
    expect(engine.load.pagesFree).toBe(2);
    await recovery.change({ tensor: 1, pipeline: 1 });
    expect(engine.load.pagesFree).toBe(runtime.pages);
    expect(small.closed).toBe(true);
  });
});
