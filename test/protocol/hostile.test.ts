import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { readChatRequest, readCompletionRequest } from "../../src/protocol/openai/mod.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Five of these are what fits a body of 15 MB. */
const million = 1_000_000;
const empties = (count: number): object[] => new Array<object>(count).fill({});
const names = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, 0]));

const prompt = "Hi";
const user = { role: "user", content: "Hi" };
const messages = [user];

/** What a request of millions of wrong elements may cost: far less than it takes to send it. */
const SECONDS_MAX = 3;
const HEAP_BYTES_MAX = 100e6;

test.each<[string, () => object]>([
  ["prompt", () => ({ prompt: empties(5 * million) })],
  ["prompt[0][0]", () => ({ prompt: [empties(million)] })],
  ["prompt", () => ({ prompt: new Array<number>(7 * million).fill(1) })],
  ["prompt[999999]", () => ({ prompt: [...new Array<number>(million - 1).fill(1), "x"] })],
  ["stop_token_ids", () => ({ prompt, stop_token_ids: empties(5 * million) })],
  ["stop", () => ({ prompt, stop: empties(5 * million) })],
  ["logit_bias", () => ({ prompt, logit_bias: names(300_000) })],
  ["a0", () => ({ prompt, ...names(300_000) })],
  ["stream_options.a0", () => ({ prompt, stream_options: names(300_000) })],
  ["messages", () => ({ messages: empties(5 * million) })],
  ["messages[0].role", () => ({ messages: empties(65_536) })],
  ["messages[0].content", () => ({ messages: [{ role: "user", content: empties(5 * million) }] })],
  ["messages[0].a0", () => ({ messages: [{ ...user, ...names(300_000) }] })],
  ["messages[0].tool_calls", () => ({ messages: [{ ...user, tool_calls: empties(5 * million) }] })],
  ["messages[1].annotations", () => ({ messages: [user, { ...user, annotations: empties(5 * million) }] })],
  ["tools", () => ({ messages, tools: empties(5 * million) })],
  ["functions", () => ({ messages, functions: empties(5 * million) })],
  ["modalities", () => ({ messages, modalities: empties(5 * million) })],
  ["response_format", () => ({ messages, response_format: names(300_000) })],
])("%s with millions of wrong elements is refused at the first fault", (param, make) => {
  const body = make();
  const read = "messages" in body ? readChatRequest : readCompletionRequest;
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const started = performance.now();
  let thrown: unknown;
  try {
    read(body);
  } catch (error) {
    thrown = error;
  }
  const seconds = (performance.now() - started) / 1000;
  const grown = process.memoryUsage().heapUsed - before;
  expect(thrown).toBeInstanceOf(ClawError);
  expect(thrown).toMatchObject({ param });
  expect(seconds).toBeLessThan(SECONDS_MAX);
  expect(grown).toBeLessThan(HEAP_BYTES_MAX);
});

test("the longest lists that are taken are read quickly", () => {
  const ids = Array.from({ length: 1024 * 1024 }, (_, id) => id % 1000);
  const long = Array.from({ length: 65_536 }, () => ({
    role: "user",
    content: [{ type: "text", text: "x", a: null }],
  }));
  const started = performance.now();
  expect(readCompletionRequest({ prompt: [ids, ids, ids] }).prompts).toHaveLength(3);
  expect(readChatRequest({ messages: long }).messages).toHaveLength(65_536);
  expect((performance.now() - started) / 1000).toBeLessThan(SECONDS_MAX);
});
