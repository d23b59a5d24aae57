import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Identity, SpendingAccounts, SpentJournal } from "../../src/capability/mod.ts";
import { nowhere } from "./tokens.ts";

const id = (name: string): string => name.repeat(128);
const [first, second] = [id("a"), id("b")];

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-spent-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function identity(meters: Identity["meters"], ids: readonly string[] = [first, second]): Identity {
  return { tenant: "team", revocationIds: ids, meters };
}

const tokens = (block: number, limit: number): Identity["meters"][number] => {
  return { block, counts: "tokens", limit, seconds: undefined };
};

test("every budget of the chain is kept, whatever is spent in which order by whom", () => {
  const seen = { spent: 0, refused: 0 };
  const property = fc.property(
    fc.integer({ min: 1, max: 60 }),
    fc.integer({ min: 1, max: 60 }),
    fc.array(fc.tuple(fc.boolean(), fc.nat(9)), { minLength: 20, maxLength: 60 }),
    (whole, part, steps) => {
      const accounts = new SpendingAccounts(nowhere);
      const parent = identity([tokens(0, whole)], [first]);
      const child = identity([tokens(0, whole), tokens(1, part)]);
      const total = { parent: 0, child: 0 };
      for (const [byChild, amount] of steps) {
        const fits = total.parent + amount <= whole && (!byChild || total.child + amount <= part);
        const spend = (): void => accounts.tokens(byChild ? child : parent, amount);
        if (!fits) {
          expect(spend).toThrow(expect.objectContaining({ code: "E_TOKEN_BUDGET" }));
          seen.refused++;
          continue;
        }
        spend();
        seen.spent++;
        total.parent += amount;
        if (byChild) total.child += amount;
      }
    },
  );
  fc.assert(property, { numRuns: 500 });
  expect(seen.spent).toBeGreaterThan(1000);
  expect(seen.refused).toBeGreaterThan(1000);
});

test("a budget of requests ends a token that is sent again", () => {
  const accounts = new SpendingAccounts(nowhere);
  const once = identity([{ block: 1, counts: "requests", limit: 1, seconds: undefined }]);
  accounts.request(once, 0);
  expect(() => accounts.request(once, 1)).toThrow(expect.objectContaining({ code: "E_TOKEN_BUDGET" }));
});

test("a rate holds in every window, and says when to come again", () => {
  const accounts = new SpendingAccounts(nowhere);
  const limited = identity([{ block: 1, counts: "requests", limit: 3, seconds: 10 }]);
  const allowed: number[] = [];
  for (let now = 0; now < 100; now += 0.5) {
    try {
      accounts.request(limited, now);
      allowed.push(now);
    } catch (error) {
      expect(error).toMatchObject({ code: "E_TOKEN_RATE", retryAfterSeconds: expect.any(Number) });
    }
  }
  for (const [index, at] of allowed.entries())
    expect((allowed[index + 3] ?? 1000) - at).toBeGreaterThanOrEqual(10);
  expect(allowed.length).toBe(30);
});

test("what was spent survives a restart, and a line that a crash cut off", () => {
  const file = join(folder, "spent");
  const fail = (error: unknown): never => {
    throw error;
  };
  const of = identity([tokens(0, 100)], [first]);
  const before = new SpendingAccounts(new SpentJournal(file, fail));
  before.request(of, 0);
  before.tokens(of, 60);
  before.close();
  appendFileSync(file, `${first} 99`);
  const after = new SpendingAccounts(new SpentJournal(file, fail));
  after.tokens(of, 40);
  expect(() => after.tokens(of, 1)).toThrow(/60|100 are spent/);
  after.close();
  const last = new SpentJournal(file, fail).read();
  expect(last.get(first)).toEqual({ tokens: 100, requests: 1 });
});

test("one token's children cannot fill the memory with budgets", () => {
  const accounts = new SpendingAccounts(nowhere);
  const child = (n: number): Identity => identity([tokens(1, 5)], [first, n.toString(16).padStart(128, "0")]);
  for (let n = 0; n < 1024; n++) accounts.request(child(n), 0);
  expect(() => accounts.request(child(1024), 0)).toThrow(expect.objectContaining({ code: "E_TOKEN_BUDGET" }));
  accounts.request(child(5), 0);
  accounts.request(identity([tokens(0, 5)], [second]), 0);
});
