import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  defaultSampling,
  EngineMetrics,
  type GenerationRequest,
  type TextRequest,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import { openModel, type Tokenizer } from "../../src/model/mod.ts";
import { generateAnswers, type Piece } from "../../src/server/answers.ts";
import { completion } from "../../src/server/kinds.ts";
import { ServedModels } from "../../src/server/mod.ts";
import { createTokenReporter } from "../../src/server/reports.ts";
import { bareCompletions, makeAsker } from "./bare.ts";
import { makeHome, makeTinyModel, removeHome } from "./service.ts";

let home: string;
let tokenizer: Tokenizer;

beforeAll(() => {
  home = makeHome();
  const model = openModel(makeTinyModel(home));
  model.close();
  tokenizer = model.tokenizer;
});

afterAll(() => removeHome(home));

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const request = (maxTokens: number): TextRequest => ({
  prompt: Int32Array.of(1),
  maxTokens,
  sampling: defaultSampling,
  stopStrings: [],
  stopTokens: [],
});

const token = { token: 300, logprob: undefined, top: [] };

/** Streams of as many tokens as were asked for; a request for a single one waits for it until it is left. */
const generator = {
  generate: ({ maxTokens }: GenerationRequest): AsyncIterableIterator<TokenEvent> => {
    let drawn = 0;
    let leave = (): void => {};
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: async () => {
        if (maxTokens === 1) await new Promise<void>((resolve) => (leave = resolve));
        if (maxTokens === 1 || drawn === maxTokens) return { done: true, value: undefined };
        drawn++;
        return { done: false, value: { ...token, finish: drawn === maxTokens ? "length" : undefined } };
      },
      return: async () => {
        leave();
        return { done: true, value: undefined };
      },
    };
  },
};

describe("answers together", () => {
  test("a fast answer among slow ones leaves nothing behind for each of its tokens", async () => {
    const count = 20_000;
    const requests = [request(count), ...Array.from({ length: 127 }, () => request(1))];
    const left = new AbortController();
    const pieces = generateAnswers(requests, { generator: () => generator, tokenizer, signal: left.signal });
    const read = async (tokens: number): Promise<void> => {
      for (let i = 0; i < tokens; i++) expect((await pieces.next()).value?.index).toBe(0);
    };
    await read(1000);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    const started = performance.now();
    await read(count - 1000);
    const seconds = (performance.now() - started) / 1000;
    collectGarbage();
    const grown = process.memoryUsage().heapUsed - before;
    expect(grown).toBeLessThan(8e6);
    expect(seconds).toBeLessThan(5);
    await pieces.return();
  });

  test("every answer keeps its order, and a failure of one ends all", async () => {
    const lengths = [5, 3, 9, 2, 7];
    const seen = new Map<number, Piece[]>();
    const signal = new AbortController().signal;
    for await (const piece of generateAnswers(lengths.map(request), {
      generator: () => generator,
      tokenizer,
      signal,
    })) {
      seen.set(piece.index, [...(seen.get(piece.index) ?? []), piece]);
    }
    for (const [index, length] of lengths.entries()) {
      const pieces = seen.get(index) ?? [];
      expect(pieces).toHaveLength(length);
      expect(pieces.map(({ finish }) => finish !== null).indexOf(true)).toBe(length - 1);
    }
    const stop = new AbortController();
    const stopped = generateAnswers([request(1), request(50), request(1)], {
      generator: () => generator,
      tokenizer,
      signal: stop.signal,
    });
    await stopped.next();
    stop.abort();
    await expect(Array.fromAsync(stopped)).rejects.toMatchObject({ code: "E_CANCELLED" });
  });
});

test("a long answer with log-probabilities takes time in proportion to its length", async () => {
  const [count, context] = [100_000, 200_000];
  const models = new ServedModels("m", 0);
  const { template, close } = openModel(join(home, "tiny.gguf"));
  close();
  models.ready({
    id: "m",
    tokenizer,
    template,
    context,
    textBytesMax: context,
    fingerprint: "none",
    generator,
    load: () => ({ running: 0, waiting: 0, recovering: false }),
    metrics: () => new EngineMetrics().read(),
    failure: () => undefined,
  });
  const completions = bareCompletions(models);
  const body = { prompt: [1], max_tokens: count, logprobs: 0 };
  const started = performance.now();
  const response = await completions.handle(completion, body, makeAsker());
  expect((performance.now() - started) / 1000).toBeLessThan(8);
  expect(response).toMatchObject({ type: "whole", body: { usage: { completion_tokens: count } } });
});

/** Places by another way: a byte begins a character where cutting the text before it changes nothing. */
function placesOf(tokens: readonly Uint8Array[]): { readonly offset: number }[] {
  const all = Buffer.concat(tokens);
  const whole = all.toString("utf8");
  const begins = (at: number): boolean =>
    all.subarray(0, at).toString("utf8") + all.subarray(at).toString("utf8") === whole;
  let at = 0;
  return tokens.map((bytes) => {
    let from = at;
    // Of an empty token nothing begins; a cut text's last character counts once it is whole.
    while (from > 0 && !begins(from)) from--;
    at += bytes.length;
    return { offset: all.subarray(0, from).toString("utf8").length };
  });
}

describe("tokens in reports", () => {
  test("begin where their text, or the character they are a part of, begins in the answer", () => {
    let [inside, broken] = [0, 0];
    // The tiny vocabulary has a token for every byte from id 3 on, and after these tokens of text.
    const bytes = fc.string({ unit: "binary", minLength: 1, maxLength: 3 }).map((text) => Buffer.from(text));
    const ids = fc.oneof(
      fc.integer({ min: 3, max: 511 }).map((id) => [id]),
      bytes.map((whole) => [...whole].map((byte) => byte + 3)),
    );
    fc.assert(
      fc.property(fc.array(ids, { maxLength: 12 }), (runs) => {
        const ids = runs.flat();
        const tokens = ids.map((id) => tokenizer.tokenBytes(id));
        const report = createTokenReporter(tokenizer);
        const reports = ids.map((id) => report({ token: id, logprob: 0, top: [] }));
        const places = placesOf(tokens);
        expect(reports.map(({ offset }) => ({ offset }))).toEqual(places);
        inside += places.filter(({ offset }, i) => offset === places[i - 1]?.offset).length;
        broken += tokenizer.decode(ids).split("\uFFFD").length - 1;
      }),
      { seed: 31, numRuns: 500 },
    );
    expect(inside).toBeGreaterThan(150);
    expect(broken).toBeGreaterThan(150);
  });

  test("have spellings that tell bytes apart, and those that are left out take no place", () => {
    const report = createTokenReporter(tokenizer);
    const euro = [0xe2, 0x82, 0xac].map((byte) => byte + 3);
    const end = 2;
    const all = [end, ...euro, end, 300].map((id) => report({ token: id, logprob: 0, top: [] }));
    expect(all.map(({ text }) => text)).toEqual([
      "</s>",
      "bytes:\\xe2",
      "bytes:\\x82",
      "bytes:\\xac",
      "</s>",
      tokenizer.decode([300]),
    ]);
    expect(all.map(({ offset }) => offset)).toEqual([0, 0, 0, 0, 1, 1]);
  });
});
