import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { PRIORITY_MAX } from "../../src/config/mod.ts";
import { LOGIT_BIAS_MAX, STOP_TOKENS_MAX, TOP_LOGPROBS_MAX } from "../../src/engine/limits.ts";
import * as limits from "../../src/protocol/openai/limits.ts";
import { encodeEvent, readChatRequest, readCompletionRequest } from "../../src/protocol/openai/mod.ts";

const chat = { model: "m", messages: [{ role: "user", content: "Hi" }] };
const completion = { model: "m", prompt: "Hi" };

function refusal(read: () => unknown): ClawError {
  try {
    read();
  } catch (error) {
    if (error instanceof ClawError) return error;
    throw error;
  }
  throw new Error("The request was accepted.");
}

describe("defaults", () => {
  test("a chat without parameters", () => {
    expect(readChatRequest(chat)).toMatchObject({
      messages: chat.messages,
      choices: 1,
      stream: false,
      maxTokens: undefined,
      stopStrings: [],
      seed: undefined,
      logprobs: undefined,
    });
  });

  test("null is absent, everywhere", () => {
    const nulls = {
      n: null,
      seed: null,
      stop: null,
      logprobs: null,
      stream_options: null,
      tools: null,
      foo: null,
    };
    expect(readChatRequest({ ...chat, ...nulls })).toEqual(readChatRequest(chat));
    const messages = [{ role: "user", content: "Hi", name: null, tool_calls: null, audio: null }];
    expect(readChatRequest({ ...chat, messages })).toEqual(readChatRequest(chat));
  });

  test("what clients send by default asks for nothing", () => {
    const usual = {
      user: "u",
      store: false,
      metadata: { a: "b" },
      service_tier: "auto",
      response_format: { type: "text" },
      tools: [],
      tool_choice: "none",
      parallel_tool_calls: true,
      modalities: ["text"],
    };
    expect(readChatRequest({ ...chat, ...usual })).toEqual(readChatRequest(chat));
    const old = { echo: false, best_of: 1, suffix: "" };
    expect(readCompletionRequest({ ...completion, ...old })).toEqual(readCompletionRequest(completion));
  });
});

describe("refusals name the parameter", () => {
  test.each([
    ["tools", { tools: [{ type: "function" }] }],
    ["tool_choice", { tool_choice: "required" }],
    ["response_format", { response_format: { type: "json_object" } }],
    ["store", { store: true }],
    ["audio", { audio: {} }],
    ["reasoning_effort", { reasoning_effort: "low" }],
    ["messages[0].colour", { messages: [{ role: "user", content: "Hi", colour: 1 }] }],
    ["messages[0].tool_calls", { messages: [{ role: "assistant", content: "Hi", tool_calls: [{}] }] }],
    ["stream_options.pace", { stream_options: { pace: 1 } }],
    ["openclaw.seed", { openclaw: { seed: 1 } }],
  ])("%s is not supported", (param, extra) => {
    expect(refusal(() => readChatRequest({ ...chat, ...extra }))).toMatchObject({
      code: "E_UNSUPPORTED",
      param,
    });
  });

  test.each([
    ["model", { model: 3 }],
    ["messages", { messages: [] }],
    ["messages[1].role", { messages: [chat.messages[0], { role: "tool", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "user" }] }],
    ["messages[0].content[0]", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }],
    ["n", { n: 17 }],
    ["n", { n: 0 }],
    ["max_tokens", { max_tokens: 0 }],
    ["temperature", { temperature: "hot" }],
    ["temperature", { temperature: Number.POSITIVE_INFINITY }],
    ["stop", { stop: Array.from({ length: 17 }, () => "x") }],
    ["stop", { stop: "x".repeat(1025) }],
    ["logit_bias", { logit_bias: [1] }],
    ["logit_bias.x", { logit_bias: { x: 1 } }],
    ["logit_bias.2147483648", { logit_bias: { 2147483648: 1 } }],
    ["logit_bias.01", { logit_bias: { "01": 1 } }],
    ["logit_bias.1", { logit_bias: { 1: "1" } }],
    ["messages", { messages: "Hi" }],
    ["messages[0]", { messages: ["Hi"] }],
    ["top_logprobs", { logprobs: true, top_logprobs: 21 }],
    ["openclaw.date", { openclaw: { date: "2024-02-30" } }],
    ["openclaw.date", { openclaw: { date: "2024-02-03T04:05" } }],
    ["top_logprobs", { top_logprobs: 3 }],
    ["seed", { seed: 1.5 }],
  ])("%s is not valid: %j", (param, extra) => {
    expect(refusal(() => readChatRequest({ ...chat, ...extra }))).toMatchObject({
      code: "E_PARAMETER",
      param,
    });
  });

  test("any parameter that is not known, by its own name", () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z_]{3,20}$/), fc.jsonValue(), (name, value) => {
        fc.pre(value !== null);
        const error = refusal(() => readChatRequest({ ...chat, [`x_${name}`]: value }));
        expect(error).toMatchObject({ code: "E_UNSUPPORTED", param: `x_${name}` });
        refused++;
      }),
      { seed: 20, numRuns: 200 },
    );
    expect(refused).toBeGreaterThan(150);
  });

  test("any JSON at all is accepted or refused with a code, never worse", () => {
    let refused = 0;
    const keys = ["model", "messages", "prompt", "stop", "n", "logit_bias", "stream_options", "logprobs"];
    const bodies = fc.oneof(
      fc.jsonValue(),
      fc
        .dictionary(fc.constantFrom(...keys), fc.jsonValue())
        .map((extra) => ({ ...chat, ...completion, ...extra })),
    );
    fc.assert(
      fc.property(bodies, (body) => {
        for (const read of [readChatRequest, readCompletionRequest]) {
          try {
            read(body);
          } catch (error) {
            expect(error).toBeInstanceOf(ClawError);
            refused++;
          }
        }
      }),
      { seed: 21, numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(500);
  });
});

describe("prompts", () => {
  test.each([
    ["text", ["text"]],
    [
      ["a", "b"],
      ["a", "b"],
    ],
    [[1, 2], [[1, 2]]],
    [
      [[1], [2, 3]],
      [[1], [2, 3]],
    ],
  ])("%j is %j", (prompt, prompts) => {
    expect(readCompletionRequest({ ...completion, prompt })).toMatchObject({ prompts, maxTokens: 16 });
  });

  test.each([
    ["prompt", {}],
    ["prompt", { prompt: {} }],
    ["prompt", { prompt: [] }],
    ["prompt[1]", { prompt: ["a", 1] }],
    ["prompt[1]", { prompt: [1, "a"] }],
    ["prompt[1]", { prompt: [1, 2.5] }],
    ["prompt[0]", { prompt: [-1] }],
    ["prompt[0]", { prompt: [4294967297] }],
    ["prompt[2]", { prompt: [0, 2147483647, 2147483648] }],
    ["prompt[0][1]", { prompt: [[1, 4294967297]] }],
    ["stop_token_ids[0]", { prompt: "a", stop_token_ids: [4294967298] }],
    ["stop_token_ids", { prompt: "a", stop_token_ids: 1 }],
    ["logprobs", { prompt: "a", logprobs: 21 }],
    ["logprobs", { prompt: "a", logprobs: -1 }],
  ])("%s: %j is refused by that name", (param, body) => {
    expect(refusal(() => readCompletionRequest(body))).toMatchObject({ code: "E_PARAMETER", param });
  });

  test("the largest token ids, as many stop tokens and biases as the engine takes, and no more", () => {
    const largest = 2 ** 31 - 1;
    const lists = (extra: number): object => ({
      stop_token_ids: Array.from({ length: STOP_TOKENS_MAX + extra }, (_, id) => largest - id),
      logit_bias: Object.fromEntries(
        Array.from({ length: LOGIT_BIAS_MAX + extra }, (_, id) => [largest - id, 1]),
      ),
    });
    const read = readCompletionRequest({ prompt: [0, largest], ...lists(0) });
    expect(read.prompts).toEqual([[0, largest]]);
    expect(read.stopTokens).toHaveLength(STOP_TOKENS_MAX);
    expect(read.logitBias).toHaveLength(LOGIT_BIAS_MAX);
    expect(read.logitBias[0]).toEqual([largest - LOGIT_BIAS_MAX + 1, 1]);
    for (const [param, value] of Object.entries(lists(1))) {
      const error = refusal(() => readCompletionRequest({ prompt: "a", [param]: value }));
      expect(error).toMatchObject({ code: "E_PARAMETER", param });
    }
    expect(limits.STOP_TOKENS_MAX).toBe(STOP_TOKENS_MAX);
    expect(limits.LOGIT_BIAS_MAX).toBe(LOGIT_BIAS_MAX);
    expect(limits.TOP_LOGPROBS_MAX).toBe(TOP_LOGPROBS_MAX);
    expect(limits.PRIORITY_MAX).toBe(PRIORITY_MAX);
  });

  test("text parts are joined, and max_completion_tokens is the newer name", () => {
    const content = [
      { type: "text", text: "a" },
      { type: "text", text: "b" },
    ];
    const body = { ...chat, messages: [{ role: "user", content }], max_tokens: 3, max_completion_tokens: 4 };
    expect(readChatRequest(body)).toMatchObject({ messages: [{ content: "ab" }], maxTokens: 4 });
  });

  test("too many answers at once are refused", () => {
    const prompt = Array.from({ length: 9 }, () => "x");
    expect(refusal(() => readCompletionRequest({ ...completion, prompt, n: 16 }))).toMatchObject({
      code: "E_PARAMETER",
      param: "prompt",
    });
  });
});

test("an event is one line, whatever its text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const event = encodeEvent(JSON.stringify({ text }));
      expect(event.split("\n")).toEqual([expect.stringMatching(/^data: /), "", ""]);
      expect(JSON.parse(event.slice(6))).toEqual({ text });
    }),
    { seed: 22 },
  );
});
