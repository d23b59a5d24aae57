/** The engine's thread from outside: tokens through the ring, live changes, and what happens when the thread dies. */

import { rmSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClawError } from "../../src/base/mod.ts";
import {
  defaultSampling,
  type EngineChange,
  EngineClient,
  type EngineSettings,
  type GenerationRequest,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import { TokenRing } from "../../src/engine/token-ring.ts";
import { TokenSender } from "../../src/engine/token-sender.ts";
import { type TinyModel, tinyModel } from "./tiny.ts";

let tiny: TinyModel;
let settings: EngineSettings;

beforeAll(() => {
  tiny = tinyModel(2);
  settings = { model: tiny.path, format: "i8", device: "auto", threads: 1, batch: 4, rows: 64 };
});

afterAll(() => tiny.remove());

/** A client, and the thread it has started last: what a crash needs. */
async function startClient(onEnded?: (error: ClawError) => void): Promise<{
  client: EngineClient;
  thread: () => Worker;
  close(): Promise<void>;
}> {
  let worker: Worker | undefined;
  const onWorker = (started: Worker): void => {
    worker = started;
  };
  process.on("worker", onWorker);
  const client = await EngineClient.start(settings, { onEnded });
  const close = async (): Promise<void> => {
    process.off("worker", onWorker);
    await client.close();
  };
  return { client, thread: () => worker as Worker, close };
}

function request(seed: number, change: Partial<GenerationRequest> = {}): GenerationRequest {
  const prompt = Int32Array.from({ length: 40 }, (_, i) => (i * 31 + seed * 17 + 1) % 512);
  const sampling = { ...defaultSampling, seed, frequencyPenalty: 0.3, repetitionPenalty: 1.2 };
  return { prompt, maxTokens: 150, sampling, stopTokens: [], ...change };
}

async function collect(
  stream: AsyncIterable<TokenEvent>,
  onEvent: (count: number) => void = () => {},
): Promise<TokenEvent[]> {
  const events: TokenEvent[] = [];
  for await (const event of stream) {
    events.push(event);
    onEvent(events.length);
  }
  return events;
}

describe("a thread that dies", () => {
  /** So that there is much left to do when its thread is ended, also where this one has to wait for a core. */
  const long = { maxTokens: 900 };

  test("is started again, and every request goes on as if nothing had been", async () => {
    const { client, thread, close } = await startClient();
    const requests = [0, 1, 2, 3, 4, 5].map((seed) =>
      seed % 2 === 0
        ? request(seed)
        : request(seed, { sampling: { ...defaultSampling, seed, logprobs: 2 }, tenant: "other" }),
    );
    const expected = await Promise.all(requests.map((each) => collect(client.generate(each))));
    let crashes = 0;
    const crash = (count: number): void => {
      if (count !== 20 && count !== 70) return;
      crashes++;
      void thread().terminate();
    };
    const [first, ...others] = requests.map((each) => client.generate(each));
    const streams = [
      collect(first as AsyncIterable<TokenEvent>, crash),
      ...others.map((each) => collect(each)),
    ];
    const events = await Promise.all(streams);
    expect(crashes).toBe(2);
    expect(events).toEqual(expected);
    expect(client.failure).toBeUndefined();
    await close();
  });

  test("does not take a request along for ever: E_ENGINE_RESTARTED", async () => {
    const { client, thread, close } = await startClient();
    const killed = new Set<Worker>();
    const deadly = collect(client.generate(request(1, long)), () => {
      if (!killed.has(thread())) void thread().terminate();
      killed.add(thread());
    });
    await expect(deadly).rejects.toMatchObject({ code: "E_ENGINE_RESTARTED" });
    expect(killed.size).toBe(3);
    expect(await collect(client.generate(request(2, { maxTokens: 5 })))).toHaveLength(5);
    await close();
  });

  test("keeps what was changed while it ran", async () => {
    const { client, thread, close } = await startClient();
    await client.configure({ maxBatch: 1 });
    const exited = new Promise((resolve) => thread().once("exit", resolve));
    void thread().terminate();
    await exited;
    await Promise.all([1, 2, 3].map((seed) => collect(client.generate(request(seed, { maxTokens: 8 })))));
    expect(client.metrics.read().gauges.batch).toBe(1);
    await close();
  });

  test("and cannot be started again fails its requests, and says so", async () => {
    const own = tinyModel(3);
    const kept = settings;
    settings = { ...settings, model: own.path };
    const log: string[] = [];
    const { client, thread, close } = await startClient(({ code }) => log.push(code));
    settings = kept;
    const failing = collect(client.generate(request(1, long)), (count) => {
      if (count === 1) rmSync(own.path);
      if (count === 1) void thread().terminate();
    });
    await expect(failing).rejects.toMatchObject({ code: "E_FILE" });
    expect(client.failure).toMatchObject({ code: "E_FILE" });
    await expect(collect(client.generate(request(1)))).rejects.toMatchObject({ code: "E_FILE" });
    await expect(client.configure({ maxBatch: 1 })).rejects.toMatchObject({ code: "E_FILE" });
    await close();
    expect(log).toEqual(["E_FILE"]);
    own.remove();
  });
});

describe("limits change while requests run", () => {
  test("and every request answers as before", async () => {
    const { client, close } = await startClient();
    const requests = Array.from({ length: 12 }, (_, seed) => request(seed));
    const expected = await Promise.all(requests.map((each) => collect(client.generate(each))));
    const streams = requests.map((each) => collect(client.generate(each)));
    const { kvBytes, kvBytesMax, batchMax } = client.info;
    expect(kvBytesMax).toBeGreaterThan(kvBytes);
    for (let turn = 0; turn < 12; turn++) {
      await client.configure({ maxBatch: 1 + ((turn * 5) % batchMax), prefillChunkTokens: 1 + turn });
      await client.configure({ kvCacheBytes: turn % 2 === 0 ? kvBytes / 8 : kvBytesMax });
    }
    expect(await Promise.all(streams)).toEqual(expected);
    expect(client.metrics.read().gauges.pagesUsed).toBe(0);
    await close();
  });

  test("but not beyond what the engine was started for", async () => {
    const { client, close } = await startClient();
    const { batchMax, kvBytesMax } = client.info;
    const changes: readonly EngineChange[] = [
      { maxBatch: batchMax + 1 },
      { prefillChunkTokens: 0 },
      { kvCacheBytes: kvBytesMax * 2 },
      { kvCacheBytes: 1 },
    ];
    for (const change of changes) {
      await expect(client.configure(change)).rejects.toMatchObject({ code: "E_PARAMETER" });
    }
    await close();
  });
});

test("a ring that is full loses nothing and lets nothing overtake", () => {
  const ring = new TokenRing(undefined, 8);
  const reader = new TokenRing(ring.memory);
  const seen: number[] = [];
  const messages: { readonly id: number; readonly token: number }[] = [];
  const sender = new TokenSender(ring, (message) => {
    if (message.type === "token") messages.push({ id: message.id, token: message.event.token });
  });
  const take = (id: number, token: number): void => void (id === 1 && seen.push(token));
  let token = 0;
  let detours = 0;
  // The reader comes by at odd times: first to the ring, then to a few of the messages.
  for (let turn = 0; turn < 200; turn++) {
    for (let i = 0; i < (turn * 7) % 12; i++) {
      sender.token(1, { token: token++, logprob: undefined, top: [], finish: undefined });
    }
    reader.drain(take);
    for (const message of messages.splice(0, turn % 5)) {
      take(message.id, message.token);
      detours++;
      sender.confirmed();
    }
  }
  while (messages.length > 0) for (const { id, token } of messages.splice(0)) take(id, token);
  expect(seen).toEqual(Array.from({ length: token }, (_, i) => i));
  expect(detours).toBeGreaterThan(100);
});

test("the writer wakes the reader once for each time it sleeps", () => {
  const ring = new TokenRing();
  expect([ring.wakes(), ring.wakes()]).toEqual([true, false]);
  ring.push(1, 2, "stop");
  ring.drain((id, token, finish) => expect([id, token, finish]).toEqual([1, 2, "stop"]));
  expect([ring.wakes(), ring.wakes()]).toEqual([true, false]);
});
