import { APIError } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openModel } from "../../src/model/mod.ts";
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

const prompt = "Once upon a time";
const messages = [{ role: "user" as const, content: "Tell me a story." }];
const seeded = { model, seed: 11, max_tokens: 24 };

async function refusal(promise: Promise<unknown>): Promise<APIError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(APIError);
  return thrown as APIError;
}

describe("models", () => {
  test("are listed and shown", async () => {
    const list = await service.client.models.list();
    expect(list.data).toEqual([
      { id: model, object: "model", created: expect.any(Number), owned_by: "openclaw" },
    ]);
    expect(await service.client.models.retrieve(model)).toEqual(list.data[0]);
    expect(await refusal(service.client.models.retrieve("other"))).toMatchObject({
      status: 404,
      code: "E_MODEL_NOT_FOUND",
      param: "model",
    });
  });
});

describe("completions", () => {
  test("a stream says the same as the whole answer, and counts its tokens when asked to", async () => {
    const whole = await service.client.completions.create({ ...seeded, prompt });
    const { tokenizer } = openModel(path);
    const promptTokens = tokenizer.encode(prompt, { addSpecial: true }).length;
    expect(whole).toMatchObject({
      object: "text_completion",
      model,
      system_fingerprint: expect.stringMatching(/^openclaw-0\.0\.0-f16-kv_f32-[0-9a-f]{16}$/),
    });
    expect(whole.usage).toEqual({
      prompt_tokens: promptTokens,
      completion_tokens: 24,
      total_tokens: promptTokens + 24,
    });
    expect(whole.choices[0]?.finish_reason).toBe("length");
    const stream = await service.client.completions.create({
      ...seeded,
      prompt,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    expect(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join("")).toBe(whole.choices[0]?.text);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("length");
    expect(chunks.length).toBeGreaterThan(10);
  });

  test("an answer without a seed can be repeated with the one it reports", async () => {
    const first = await service.client.completions.create({ model, prompt, max_tokens: 16 });
    const second = await service.client.completions.create({ model, prompt, max_tokens: 16 });
    const { seed } = (first as unknown as { openclaw: { seed: number } }).openclaw;
    const again = await service.client.completions.create({ model, prompt, max_tokens: 16, seed });
    expect(again.choices).toEqual(first.choices);
    expect(second.choices).not.toEqual(first.choices);
  });

  test("n answers to several prompts, texts or tokens, are those the prompts get alone", async () => {
    const { tokenizer } = openModel(path);
    const prompts = [prompt, "The cat"];
    const ids = prompts.map((text) => [...tokenizer.encode(text, { addSpecial: true })]);
    const many = await service.client.completions.create({ ...seeded, prompt: prompts, n: 2 });
    expect(many.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const texts = many.choices.map(({ text }) => text);
    expect(new Set(texts).size).toBe(4);
    const byIds = await service.client.completions.create({ ...seeded, prompt: ids, n: 2 });
    expect(byIds.choices).toEqual(many.choices);
    for (const [index, alone] of prompts.entries()) {
      const answer = await service.client.completions.create({ ...seeded, prompt: alone, n: 2 });
      expect(answer.choices.map(({ text }) => text)).toEqual(texts.slice(2 * index, 2 * index + 2));
      const one = await service.client.completions.create({ ...seeded, prompt: ids[index] ?? [] });
      expect(one.choices[0]?.text).toBe(texts[2 * index]);
    }
  });

  test("16 tokens where max_tokens is absent, as OpenAI has it", async () => {
    const answer = await service.client.completions.create({ model, prompt, seed: 1 });
    expect(answer.usage?.completion_tokens).toBe(16);
  });

  test("a stop string ends the answer and is not part of it, wherever it lies", async () => {
    const whole = await service.client.completions.create({ ...seeded, prompt });
    const text = whole.choices[0]?.text ?? "";
    let tried = 0;
    for (let start = 1; start + 3 <= text.length; start += 5) {
      const stop = text.slice(start, start + 3);
      const stopped = await service.client.completions.create({
        ...seeded,
        prompt,
        stop: ["\u0000no", stop],
      });
      expect(stopped.choices[0]).toMatchObject({
        text: text.slice(0, text.indexOf(stop)),
        finish_reason: "stop",
      });
      tried++;
    }
    expect(tried).toBeGreaterThan(3);
  });

  test("log-probabilities in the shape of the old API", async () => {
    const answer = await service.client.completions.create({ ...seeded, prompt, logprobs: 3 });
    const { tokens, token_logprobs, top_logprobs, text_offset } = answer.choices[0]?.logprobs ?? {};
    expect(tokens).toHaveLength(24);
    expect(token_logprobs?.every((logprob) => logprob <= 0)).toBe(true);
    expect(top_logprobs?.every((top) => Object.keys(top).length <= 3)).toBe(true);
    const text = answer.choices[0]?.text ?? "";
    let placed = 0;
    for (const [index, offset] of (text_offset ?? []).entries()) {
      const token = tokens?.[index] ?? "";
      if (token.startsWith("bytes:")) continue;
      expect(text.slice(offset, offset + token.length)).toBe(token);
      placed++;
    }
    expect(placed).toBeGreaterThan(10);
  });

  test("byte tokens keep a key of their own among the likeliest", async () => {
    // The tiny vocabulary has a token for byte N at id N + 3; these are no characters.
    const bias = Object.fromEntries([0x80, 0x9f, 0xe2, 0xff].map((byte) => [byte + 3, 100]));
    const asked = { ...seeded, prompt, max_tokens: 4, temperature: 0, logprobs: 20, logit_bias: bias };
    const answer = await service.client.completions.create(asked);
    const { tokens, top_logprobs } = answer.choices[0]?.logprobs ?? {};
    expect(tokens?.every((token) => /^bytes:\\x(80|9f|e2|ff)$/.test(token))).toBe(true);
    expect(top_logprobs?.every((top) => Object.keys(top).length === 20)).toBe(true);
  });
});

describe("chat", () => {
  test("a stream begins with the role, says what the whole answer says, and ends with a reason", async () => {
    const whole = await service.client.chat.completions.create({ ...seeded, messages });
    expect(whole).toMatchObject({ object: "chat.completion", model });
    expect(whole.choices[0]).toMatchObject({ index: 0, message: { role: "assistant" }, logprobs: null });
    const stream = await service.client.chat.completions.create({ ...seeded, messages, stream: true });
    const chunks = await Array.fromAsync(stream);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "", refusal: null });
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  test("the client's own runner of streams collects two answers", async () => {
    const whole = await service.client.chat.completions.create({ ...seeded, messages, n: 2 });
    const runner = service.client.chat.completions.stream({ ...seeded, messages, n: 2 });
    const collected = await runner.finalChatCompletion();
    const texts = (choices: typeof whole.choices): unknown => choices.map(({ message }) => message.content);
    expect(texts(collected.choices)).toEqual(texts(whole.choices));
    expect(new Set(collected.choices.map(({ message }) => message.content)).size).toBe(2);
  });

  test("text parts, names, nulls and an answer that is sent back are understood", async () => {
    const whole = await service.client.chat.completions.create({ ...seeded, messages });
    const parts = [
      { type: "text" as const, text: "Tell me " },
      { type: "text" as const, text: "a story." },
    ];
    const inParts = await service.client.chat.completions.create({
      ...seeded,
      messages: [{ role: "user", content: parts }],
      stop: null,
      temperature: null,
      stream_options: null,
      user: "someone",
    });
    expect(inParts.choices).toEqual(whole.choices);
    const [choice] = whole.choices;
    const back = [...messages, choice!.message, { role: "user" as const, content: "More.", name: "Ann" }];
    const next = await service.client.chat.completions.create({ ...seeded, messages: back });
    expect(next.usage!.prompt_tokens).toBeGreaterThan(whole.usage!.prompt_tokens);
  });

  test("without max_tokens an answer goes on to the end of the context, or of a KV cache that is smaller", async () => {
    // Four pages of 32 positions: beside i8 weights, f16 keys and values of 3 layers, 2 heads, 16 dimensions.
    const small = await startService(path, { format: "i8", kvCacheBytes: 4 * 32 * 3 * 2 * 16 * 2 * 2 });
    const endless = { model, messages, seed: 1, logit_bias: { 2: -100 } };
    const answer = await small.client.chat.completions.create(endless);
    expect(answer.choices[0]?.finish_reason).toBe("length");
    expect(answer.usage?.total_tokens).toBe(128);
    await small.server.close(0);
  });

  test("log-probabilities: each token with its bytes and the likeliest others", async () => {
    const request = { ...seeded, messages, logprobs: true, top_logprobs: 4, temperature: 0 };
    const whole = await service.client.chat.completions.create(request);
    const content = whole.choices[0]?.logprobs?.content ?? [];
    expect(content).toHaveLength(whole.usage!.completion_tokens);
    for (const { token, logprob, bytes, top_logprobs: top } of content) {
      const text = Buffer.from(bytes ?? []).toString("utf8");
      const spelled = (bytes ?? []).map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
      expect(token).toBe(text.includes("\uFFFD") ? `bytes:${spelled}` : text);
      expect(top).toHaveLength(4);
      // At temperature 0 the likeliest token is the one drawn.
      expect(top[0]).toMatchObject({ token, logprob });
      expect(top.map((other) => other.logprob)).toEqual(
        top.map((other) => other.logprob).toSorted((a, b) => b - a),
      );
    }
    const chunks = await Array.fromAsync(
      await service.client.chat.completions.create({ ...request, stream: true }),
    );
    expect(chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])).toEqual(content);
  });

  test("streams that run together say what each says alone", async () => {
    const requests = [1, 2, 3, 4, 5, 6].map((seed) => ({ ...seeded, seed, messages, max_tokens: 40 }));
    const read = async (request: (typeof requests)[number]): Promise<string> => {
      const stream = await service.client.chat.completions.create({ ...request, stream: true });
      const chunks = await Array.fromAsync(stream);
      return chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    };
    const together = await Promise.all(requests.map(read));
    const alone: string[] = [];
    for (const request of requests) alone.push(await read(request));
    expect(together).toEqual(alone);
    expect(new Set(alone).size).toBe(requests.length);
  });
});

describe("sampling", () => {
  const ask = async (extra: object): Promise<string> => {
    const answer = await service.client.completions.create({ ...seeded, prompt, ...extra });
    return answer.choices[0]?.text ?? "";
  };

  test("every parameter reaches the sampler", async () => {
    const greedy = await ask({ temperature: 0 });
    expect(await ask({ top_k: 1 })).toBe(greedy);
    expect(await ask({ top_p: 0 })).toBe(greedy);
    expect(await ask({ min_p: 1 })).toBe(greedy);
    const plain = await ask({});
    expect(plain).not.toBe(greedy);
    for (const changed of [
      { seed: 12 },
      { frequency_penalty: 2, temperature: 0 },
      { presence_penalty: 2, temperature: 0 },
      { repetition_penalty: 5, temperature: 0 },
      { logit_bias: { 300: 100 }, temperature: 0 },
    ]) {
      expect(await ask(changed), JSON.stringify(changed)).not.toBe("seed" in changed ? plain : greedy);
    }
    // As many stop tokens as a request may name leave room for the model's own.
    expect(await ask({ stop_token_ids: Array.from({ length: 64 }, (_, i) => 400 + i) })).not.toBe("");
    const always = { logit_bias: { 300: 100 }, temperature: 0 };
    const stopped = await service.client.completions.create({
      ...seeded,
      prompt,
      ...always,
      stop_token_ids: [300],
    } as Parameters<typeof service.client.completions.create>[0] & { stream?: false });
    expect(stopped).toMatchObject({
      usage: { completion_tokens: 1 },
      choices: [{ text: "", finish_reason: "stop" }],
    });
    const ended = { logit_bias: { 2: 100 }, temperature: 0, max_tokens: 5 };
    expect(await ask(ended)).toBe("");
    const ignoring = await service.client.completions.create({
      ...seeded,
      prompt,
      ...ended,
      ignore_eos: true,
    } as Parameters<typeof service.client.completions.create>[0] & { stream?: false });
    expect(ignoring.usage?.completion_tokens).toBe(5);
  });

  test.each([
    ["temperature", { temperature: -1 }],
    ["top_p", { top_p: 2 }],
    ["seed", { seed: -5 }],
    ["logit_bias", { logit_bias: { 9999: 1 } }],
    ["stop_token_ids", { stop_token_ids: [9999] }],
    ["prompt", { prompt: [9999] }],
    ["prompt", { prompt: [] }],
    ["prompt[0]", { prompt: [4294967297] }],
    ["logprobs", { logprobs: 21 }],
  ])("%s out of range is a 400 that names it, in a stream too: %j", async (param, extra) => {
    for (const stream of [false, true]) {
      const body = JSON.stringify({ ...seeded, prompt, stream, ...extra });
      const answer = await service.post("/v1/completions", body);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ error: { param, code: "E_PARAMETER" } });
    }
  });

  test("a prompt beyond the context is a 400, E_CONTEXT", async () => {
    const long = "word ".repeat(2000);
    for (const promise of [
      service.client.completions.create({ model, prompt: long }),
      service.client.chat.completions.create({
        model,
        messages: [{ role: "user", content: long }],
        stream: true,
      }),
      service.client.completions.create({ model, prompt, max_tokens: 5000 }),
    ]) {
      expect(await refusal(promise)).toMatchObject({ status: 400, code: "E_CONTEXT" });
    }
  });
});
