/** What looking at tokens takes of memory: the same for the first as for the thousandth, and not more whatever a token says. */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { BiscuitInstance } from "../../src/capability/biscuit.ts";
import { Evaluator } from "../../src/capability/evaluate.ts";
import { BLOCKS_MAX, EVALUATION_BYTES_MAX, TOKEN_CHARS_MAX } from "../../src/capability/limits.ts";
import { attenuate, mint } from "../../src/capability/mod.ts";
import { factsOf } from "../../src/capability/operation.ts";
import type { Question, Verdict } from "../../src/capability/verdict.ts";
import { compileBounded } from "../../src/capability/wasm-memory.ts";
import { appended, type Bench, completionOn, makeBench } from "./tokens.ts";

const ROUNDS = 500;

let bench: Bench;

beforeAll(async () => {
  bench = await makeBench();
});

afterAll(() => bench.close());

const numbers = Array.from({ length: 60 }, (_, n) => `n(${n});`).join(" ");

/** Tokens that grow memory, each in another way; without a bound they would take hundreds of megabytes. */
const bombs: Readonly<Record<string, string>> = {
  "a long text added to itself again and again, every sum of which is kept": `s("${"x".repeat(1500)}"); check if s($a), $a${" + $a".repeat(250)} == "";`,
  "facts made by the hundred thousand before their number is looked at": `b(hex:${"ab".repeat(1000)}); ${numbers} r($x, $a, $b, $c) <- b($x), n($a), n($b), n($c);`,
};

/** A worker without a watchdog. */
async function makeWorker(): Promise<(token: string, model: string) => Promise<Verdict>> {
  const file = new URL("../../src/capability/worker.ts", import.meta.url);
  const worker = new Worker(file, { workerData: bench.folder.publicKeys() });
  onTestFinished(() => void worker.terminate());
  const heard = async (): Promise<unknown> => (await once(worker, "message"))[0];
  expect(await heard()).toBe("ready");
  return async (token, model) => {
    const question: Question = { token, facts: factsOf(completionOn(model)), now: bench.clock.now };
    const answer = heard();
    worker.postMessage(question);
    return (await answer) as Verdict;
  };
}

test("a token made to fill the memory is refused, and the worker goes on as before", async () => {
  const good = await bench.mint();
  const ask = await makeWorker();
  const [allowed, denied] = [await ask(good, "tiny"), await ask(good, "other")];
  expect(allowed).toMatchObject({ identity: { tenant: "team" }, refusal: undefined });
  expect(denied.refusal?.code).toBe("E_CAPABILITY");
  const before = process.memoryUsage().rss;
  for (const [how, code] of Object.entries(bombs)) {
    const bomb = await appended(good, bench.folder, code);
    for (let round = 0; round < 5; round++) {
      const { refusal } = await ask(bomb, "tiny");
      expect(refusal, how).toMatchObject({
        code: "E_TOKEN_COST",
        message: expect.stringContaining("of memory"),
      });
      expect(await ask(good, "tiny"), how).toEqual(allowed);
      expect(await ask(good, "other"), how).toEqual(denied);
    }
  }
  // The bound, the worker's other memory, and what the tests themselves take.
  expect(process.memoryUsage().rss - before).toBeLessThan(EVALUATION_BYTES_MAX + 128 * 2 ** 20);
});

test("a server's worker refuses such tokens, too, and good ones are looked at meanwhile", async () => {
  const { capabilities, folder } = bench;
  const good = await bench.mint();
  for (const code of Object.values(bombs)) {
    const bomb = await appended(good, folder, code);
    const refused = capabilities.authorize(bomb, completionOn("tiny"));
    const others = [bench.mint(), bench.mint()].map(async (token) =>
      capabilities.authorize(await token, completionOn("tiny")),
    );
    await expect(refused).rejects.toMatchObject({ code: "E_TOKEN_COST" });
    await Promise.all(others);
  }
});

test("memory is the same after any number of tokens, and so is what is said of them", async () => {
  const token = await attenuate(await bench.mint(), bench.folder.publicKeys(), { models: ["tiny"] });
  const instance = await BiscuitInstance.open();
  const evaluator = new Evaluator(instance.biscuits, bench.folder.publicKeys());
  instance.keep();
  const bytes = instance.memoryBytes;
  const seen = { allowed: 0, denied: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const { now } = bench.clock;
    const asked = (text: string, model: string): string | undefined =>
      evaluator.evaluate({ token: text, facts: factsOf(completionOn(model)), now }).refusal?.code;
    if (asked(token, "tiny") === undefined) seen.allowed++;
    instance.reset();
    if (asked(token, `other-${round}`) === "E_CAPABILITY") seen.denied++;
    instance.reset();
    if (asked(token.slice(0, -1 - (round % 200)), "tiny") === "E_TOKEN") seen.refused++;
    instance.reset();
  }
  expect(seen).toEqual({ allowed: ROUNDS, denied: ROUNDS, refused: ROUNDS });
  expect(instance.memoryBytes).toBe(bytes);
});

test("the largest good tokens have room", async () => {
  const { capabilities, folder } = bench;
  const keys = folder.publicKeys();
  let deep = await bench.mint();
  for (let block = 1; block < BLOCKS_MAX - 2; block++)
    deep = await attenuate(deep, keys, { models: ["tiny"] });
  const models = ["tiny", ...Array.from({ length: 27 }, (_, n) => `${n}-`.padEnd(200, "x"))];
  const grant = { endpoints: ["*"], models, adapters: [], tools: [] };
  const long = await mint(folder.signingKey(), { tenant: "team", inference: [grant] });
  expect(long.length).toBeGreaterThan(TOKEN_CHARS_MAX * 0.85);
  for (const token of [deep, long]) await capabilities.authorize(token, completionOn("tiny"));
});

test("a module's memory is bounded where it says nothing of a bound", () => {
  // One memory of one page, exported; and a function that asks for so many more.
  const grows = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f],
    ...[3, 2, 1, 0],
    ...[5, 3, 1, 0, 1],
    ...[7, 8, 1, 4, 0x67, 0x72, 0x6f, 0x77, 0, 0],
    ...[10, 8, 1, 6, 0, 0x20, 0, 0x40, 0, 0x0b],
  ]);
  for (const most of [1, 100, 127, 128, 320]) {
    const { grow } = compileBounded(grows, most).instantiate({}) as { grow: (pages: number) => number };
    expect(grow(most)).toBe(-1);
    expect(grow(most - 1)).toBe(1);
    expect(grow(1)).toBe(-1);
  }
});
