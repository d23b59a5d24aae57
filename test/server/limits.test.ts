import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineMetrics } from "../../src/engine/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import type { Completions } from "../../src/server/completions.ts";
import { chat, completion } from "../../src/server/kinds.ts";
import { ServedModels, textBytesMax } from "../../src/server/mod.ts";
import { bareCompletions, makeAsker } from "./bare.ts";
import {
  makeHome,
  makeTinyModel,
  tinyModelName as model,
  removeHome,
  type Service,
  startService,
} from "./service.ts";

let home: string;
let path: string;
let service: Service;

beforeAll(async () => {
  home = makeHome();
  path = makeTinyModel(home);
  service = await startService(path);
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

/** Longer than any of these takes, and far shorter than what they would keep the server from without their checks. */
const SECONDS_MAX = 8;

describe("requests of 15 MB", () => {
  const long = "word ".repeat(3_000_000);
  test.each<[string, string, () => object]>([
    ["/v1/completions", "E_PARAMETER", () => ({ prompt: new Array<object>(5_000_000).fill({}) })],
    ["/v1/completions", "E_CONTEXT", () => ({ prompt: new Array<number>(1024 * 1024).fill(100) })],
    ["/v1/completions", "E_CONTEXT", () => ({ prompt: long })],
    ["/v1/completions", "E_CONTEXT", () => ({ prompt: ["short", long] })],
    ["/v1/chat/completions", "E_CONTEXT", () => ({ messages: [{ role: "user", content: long }] })],
    [
      "/v1/chat/completions",
      "E_CONTEXT",
      () => ({ messages: new Array<object>(65_536).fill({ role: "user", content: "x".repeat(200) }) }),
    ],
  ])("to %s are refused with %s, and the server goes on (%#)", async (path, code, make) => {
    const body = JSON.stringify({ model, ...make() });
    const started = performance.now();
    const answer = await service.post(path, body);
    expect(await answer.json()).toMatchObject({ error: { code } });
    expect(answer.status).toBe(400);
    expect((performance.now() - started) / 1000).toBeLessThan(SECONDS_MAX);
    expect(await service.health()).toMatchObject({ status: "ok", running: 0, waiting: 0 });
  });
});

describe("prompts that cannot fit", () => {
  /** A server without an engine: nothing here may come as far as one. */
  function unreachable(): Completions {
    const opened = openModel(path);
    opened.close();
    const { tokenizer, template } = opened;
    const context = 1024;
    const generate = (): never => {
      throw new Error("The engine was asked.");
    };
    const models = new ServedModels(model, 0);
    models.ready({
      id: model,
      tokenizer,
      template,
      context,
      textBytesMax: textBytesMax(tokenizer, context),
      fingerprint: "none",
      generator: { generate },
      load: () => ({ running: 0, waiting: 0, recovering: false }),
      metrics: () => new EngineMetrics().read(),
      failure: () => undefined,
    });
    return bareCompletions(models);
  }

  test("are refused once, with the numbers, before any answer is begun", async () => {
    const completions = unreachable();
    const asker = makeAsker();
    const full = { prompt: [new Array(5).fill(9), new Array(1024).fill(9)], n: 16 };
    await expect(completions.handle(completion, full, asker)).rejects.toMatchObject({
      code: "E_CONTEXT",
      message: expect.stringContaining("1024 prompt tokens and 16 more; the context holds 1024."),
    });
    const messages = [{ role: "user", content: "word ".repeat(1000) }];
    await expect(completions.handle(chat, { messages, n: 16 }, asker)).rejects.toMatchObject({
      code: "E_CONTEXT",
      message: expect.stringMatching(/\d{4} prompt tokens and 1 more; the context holds 1024\.$/),
    });
    const short = { prompt: [1, 2], max_tokens: 1022 };
    await expect(completions.handle(completion, short, asker)).rejects.toThrow("The engine was asked.");
  });

  test("no text of a context's tokens is longer than the bound on texts", () => {
    const { tokenizer, close } = openModel(path);
    close();
    const most = textBytesMax(tokenizer, 1);
    for (let id = 0; id < tokenizer.vocabularySize; id++) {
      expect(Buffer.byteLength(tokenizer.decode([id]))).toBeLessThanOrEqual(most);
    }
    expect(textBytesMax(tokenizer, 1024)).toBe(1024 * most);
  });
});

test.each([101, 255, 4000])("a model's name of %i characters is only not there", async (length) => {
  const { url, apiKey } = service.server;
  const headers = { authorization: `Bearer ${apiKey?.key}` };
  const name = "x".repeat(length);
  const answer = await fetch(`${url}/v1/models/${name}`, { headers });
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ error: { code: "E_MODEL_NOT_FOUND", param: "model" } });
  const other = await fetch(`${url}/v1/nothing/${name}`, { headers });
  expect(await other.json()).toMatchObject({ error: { code: "E_NOT_FOUND" } });
  expect(service.log).toEqual([]);
});
