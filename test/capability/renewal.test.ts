import { afterAll, beforeAll, expect, test } from "vitest";
import { QUESTIONS_MAX } from "../../src/capability/limits.ts";
import { AuthorizerThread } from "../../src/capability/mod.ts";
import { factsOf } from "../../src/capability/operation.ts";
import { type Bench, completionOn, makeBench } from "./tokens.ts";

/** Enough for two workers to have had their time, and for the second successor to become warm. */
const ROUNDS = 4;
const AT_ONCE = 10;

let bench: Bench;

beforeAll(async () => {
  bench = await makeBench();
});

afterAll(() => bench.close());

test("a worker gives way to another before its memory grows, and every question has its answer", async () => {
  const token = await bench.mint();
  let renewals = 0;
  const killed: string[] = [];
  const thread = new AuthorizerThread(bench.folder.publicKeys(), {
    killed: (which) => killed.push(which),
    renewed: () => renewals++,
  });
  const now = bench.clock.now;
  const allowed = { token, facts: factsOf(completionOn("tiny")), now };
  const denied = { token, facts: factsOf(completionOn("other")), now };
  const codes: (string | undefined)[] = [];
  for (let asked = 0; asked < ROUNDS * QUESTIONS_MAX; asked += AT_ONCE) {
    const questions = Array.from({ length: AT_ONCE }, (_, i) => thread.ask(i % 2 === 0 ? allowed : denied));
    for (const { refusal } of await Promise.all(questions)) codes.push(refusal?.code);
  }
  await thread.close();
  expect(codes).toHaveLength(ROUNDS * QUESTIONS_MAX);
  expect(codes.every((code, i) => code === (i % 2 === 0 ? undefined : "E_CAPABILITY"))).toBe(true);
  expect(renewals).toBeGreaterThanOrEqual(2);
  expect(killed).toEqual([]);
});
