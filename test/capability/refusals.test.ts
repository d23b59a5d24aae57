import { afterAll, beforeAll, expect, test } from "vitest";
import { BiscuitInstance } from "../../src/capability/biscuit.ts";
import { attenuate, inspect, mint } from "../../src/capability/mod.ts";
import { RootKeys, revocationIdsOf } from "../../src/capability/root-keys.ts";
import type { Inspection } from "../../src/capability/tokens.ts";
import { appended, type Bench, completionOn, makeBench } from "./tokens.ts";

let bench: Bench;

beforeAll(async () => {
  bench = await makeBench();
});

afterAll(() => bench.close());

const tiny = completionOn("tiny");

test("a good token is allowed what it grants, and refused the rest", async () => {
  const token = await bench.mint();
  const identity = await bench.capabilities.authorize(token, tiny);
  expect(identity).toMatchObject({
    tenant: "team",
    revocationIds: [expect.stringMatching(/^[0-9a-f]{128}$/)],
  });
  for (const operation of [completionOn("other"), { kind: "metrics", endpoint: "/metrics" } as const]) {
    await expect(bench.capabilities.authorize(token, operation)).rejects.toMatchObject({
      code: "E_CAPABILITY",
    });
  }
});

test("names may be the words that budgets are written with, and stand beside budgets", async () => {
  const { capabilities, folder } = bench;
  const names = ["spent", "recent", "spent(tokens, 0, $n)", "check if recent", "tiny"];
  const grant = { endpoints: ["*"], models: names, adapters: names, tools: names };
  const rights = {
    tenant: "recent",
    inference: [grant],
    syscalls: ["spent"],
    files: [{ modes: ["read"], paths: ["/recent"] }],
  };
  const minted = await mint(folder.signingKey(), rights, { requests: 1000 });
  const narrowed = await attenuate(minted, folder.publicKeys(), {
    models: names,
    adapters: names,
    tokens: 50,
    sandbox: { syscalls: ["spent"] },
  });
  const lists = { adapters: ["recent"], tools: ["spent"] };
  for (const [token, counts] of [
    [minted, ["requests"]],
    [narrowed, ["requests", "tokens"]],
  ] as const) {
    for (const name of names) {
      const { tenant, meters } = await capabilities.authorize(token, {
        kind: "inference",
        endpoint: "/v1/completions",
        models: [name],
        ...lists,
      });
      expect(tenant).toBe("recent");
      expect(meters.map((meter) => meter.counts)).toEqual(counts);
    }
  }
  await capabilities.authorize(minted, { kind: "syscall", name: "spent" });
  for (const code of ['check if spent("tokens", 1, $n), $n < 5 or true', 'recent("spent")']) {
    const odd = await appended(minted, folder, `${code};`);
    await expect(capabilities.authorize(odd, tiny)).rejects.toMatchObject({ code: "E_TOKEN" });
  }
});

test("no token is made that would be refused for its names or its tenant", async () => {
  const key = bench.folder.signingKey();
  const inference = [{ endpoints: ["*"], models: ['a"b', "spent"], adapters: [], tools: [] }];
  const good = await bench.mint();
  const ofTenant = (tenant: string): Promise<string> => mint(key, { tenant, scopes: ["admin"] });
  const refused = [
    () => mint(key, { tenant: "team", inference }),
    () => attenuate(good, bench.folder.publicKeys(), { adapters: ['"', "recent"] }),
    ...['te"am', "te\\am", "x".repeat(65)].map((tenant) => () => ofTenant(tenant)),
  ];
  for (const make of refused) await expect(make()).rejects.toMatchObject({ code: "E_PARAMETER" });
});

test("texts that are no token, and tokens cut off anywhere, are refused", async () => {
  const token = await attenuate(await bench.mint(), bench.folder.publicKeys(), { models: ["tiny"] });
  const cut = Array.from({ length: token.length }, (_, length) => token.slice(0, length));
  for (const text of [...cut, "x", "A".repeat(200), "=".repeat(200), `${token}AAAA`]) {
    await expect(bench.capabilities.authorize(text, tiny)).rejects.toMatchObject({ code: "E_TOKEN" });
  }
});

test("a token with any bit turned is refused, or still says the same under the same revocation ids", async () => {
  const keys = bench.folder.publicKeys();
  const token = await attenuate(await bench.mint(), keys, { models: ["tiny"] });
  // The library in a memory that is put back, in which it stays as fast as at first.
  const instance = await BiscuitInstance.open();
  const rootKeys = new RootKeys(instance.biscuits, keys);
  instance.keep();
  const saidBy = (text: string): Inspection => {
    try {
      const { token, sources } = rootKeys.verify(text);
      return { revocationIds: revocationIdsOf(token), blocks: sources };
    } finally {
      instance.reset();
    }
  };
  const original = await inspect(token, keys);
  expect(saidBy(token)).toEqual(original);
  const bytes = Buffer.from(token, "base64url");
  const seen = { refused: 0, same: 0 };
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = Buffer.from(bytes);
    altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    const text = altered.toString("base64").replaceAll("+", "-").replaceAll("/", "_");
    try {
      expect(saidBy(text)).toEqual(original);
      seen.same++;
    } catch (error) {
      expect(error).toMatchObject({ code: "E_TOKEN" });
      seen.refused++;
    }
  }
  // The field that names a key's algorithm may also be missing.
  expect(seen.same).toBeLessThan(20);
  expect(seen.refused).toBeGreaterThan(3000);
});

test("a token that is too long, of too many blocks, or without a tenant is refused", async () => {
  const { capabilities, folder } = bench;
  await expect(capabilities.authorize("A".repeat(8193), tiny)).rejects.toMatchObject({
    code: "E_TOKEN",
    message: expect.stringContaining("8193"),
  });
  let many = await bench.mint();
  for (let block = 0; block < 33; block++) many = await appended(many, folder, "check if true;");
  await expect(capabilities.authorize(many, tiny)).rejects.toMatchObject({ code: "E_TOKEN" });
});

test("a token of a wrong root key is refused, also where it names the number of a right one", async () => {
  const other = await makeBench();
  try {
    await expect(bench.capabilities.authorize(await other.mint(), tiny)).rejects.toMatchObject({
      code: "E_TOKEN",
    });
    const key = { ...other.folder.signingKey(), id: 77 };
    const stranger = await mint(key, { tenant: "team", scopes: ["admin"] });
    await expect(bench.capabilities.authorize(stranger, tiny)).rejects.toMatchObject({
      code: "E_TOKEN",
      message: expect.stringContaining("root key 77"),
    });
  } finally {
    await other.close();
  }
});

test("a removed root key takes its tokens with it, and a rotated one keeps them", async () => {
  const own = await makeBench();
  try {
    const { capabilities, folder } = own;
    const old = await own.mint();
    await folder.rotate();
    capabilities.useKeys(folder.publicKeys());
    const fresh = await own.mint();
    for (const token of [old, fresh]) await capabilities.authorize(token, tiny);
    folder.remove(1);
    capabilities.useKeys(folder.publicKeys());
    await expect(capabilities.authorize(old, tiny)).rejects.toMatchObject({ code: "E_TOKEN" });
    await capabilities.authorize(fresh, tiny);
  } finally {
    await own.close();
  }
});

test("a token is valid from its first second until its last, also where the decision is remembered", async () => {
  const { capabilities, clock } = bench;
  const start = clock.now;
  const token = await bench.mint({ notBefore: start + 10, expires: start + 20 });
  const outcomes: string[] = [];
  for (let second = 0; second < 30; second++) {
    clock.now = start + second;
    const decided = await capabilities.authorize(token, tiny).then(
      () => "ok",
      (error: { code: string }) => error.code,
    );
    outcomes.push(decided);
  }
  clock.now = start;
  const expired = (count: number): string[] => Array.from({ length: count }, () => "E_TOKEN_EXPIRED");
  expect(outcomes).toEqual([...expired(10), ...Array.from({ length: 10 }, () => "ok"), ...expired(10)]);
});

test("a revoked block refuses the token and all that were made out of it, and no other", async () => {
  const { capabilities, folder } = bench;
  const keys = folder.publicKeys();
  const parent = await bench.mint();
  const child = await attenuate(parent, keys, { models: ["tiny"] });
  const grandchild = await attenuate(child, keys, { requests: 100 });
  const sibling = await attenuate(parent, keys, { models: ["tiny"] });
  const { revocationIds } = await capabilities.authorize(child, tiny);
  capabilities.revoke(new Set(revocationIds.slice(1)));
  for (const token of [child, grandchild]) {
    await expect(capabilities.authorize(token, tiny)).rejects.toMatchObject({ code: "E_TOKEN_REVOKED" });
  }
  for (const token of [parent, sibling]) await capabilities.authorize(token, tiny);
  capabilities.revoke(new Set());
});

test("what is open under a token that is revoked ends, and is counted once", async () => {
  const { capabilities } = bench;
  const lease = await capabilities.open(await bench.mint(), tiny);
  const other = await capabilities.open(await bench.mint(), tiny);
  const ids = new Set(lease.revocationIds);
  expect([capabilities.revoke(ids), capabilities.revoke(ids)]).toEqual([1, 0]);
  expect(lease.signal.reason).toMatchObject({ code: "E_TOKEN_REVOKED" });
  expect(other.signal.aborted).toBe(false);
  for (const { release } of [lease, other]) release();
  capabilities.revoke(new Set());
});

test("a block that gives itself rights, or speaks of budgets in a form of its own, gains nothing", async () => {
  const { capabilities, folder } = bench;
  const token = await bench.mint({ tokens: 10 });
  const wider = await appended(
    token,
    folder,
    'grant_inference({"*"}, {"*"}, {"*"}, {"*"}); grant_scope("metrics"); operation("metrics");',
  );
  await expect(capabilities.authorize(wider, completionOn("other"))).rejects.toMatchObject({
    code: "E_CAPABILITY",
  });
  await expect(
    capabilities.authorize(wider, { kind: "metrics", endpoint: "/metrics" }),
  ).rejects.toMatchObject({
    code: "E_CAPABILITY",
  });
  for (const code of [
    'check if spent("tokens", 0, $n), $n < 100;',
    'check if spent("tokens", 1, $n), $n + 1 < 100;',
    'check if recent("requests", 1, 99999, $n), $n < 5;',
  ]) {
    const odd = await appended(token, folder, code);
    await expect(capabilities.authorize(odd, tiny)).rejects.toMatchObject({ code: "E_TOKEN" });
  }
});

/** Six numbers out of sixty that sum to what no six do: years of joins before the soft limit is looked at. */
const burning =
  Array.from({ length: 60 }, (_, n) => `n(${n});`).join(" ") +
  " r($a, $b, $c, $d, $e, $f) <- n($a), n($b), n($c), n($d), n($e), n($f), $a + $b + $c + $d + $e + $f == 9999;";

test("a token made to burn the processor is ended with a code, and nobody else is harmed", async () => {
  const { capabilities, folder } = bench;
  const good = await bench.mint();
  const remembered = await bench.mint();
  await capabilities.authorize(remembered, tiny);
  const bad = await appended(good, folder, burning);
  const kills = capabilities.counts.watchdogKills;
  const burnt = capabilities.authorize(bad, tiny);
  const waiting = Array.from({ length: 20 }, () => capabilities.authorize(good, tiny));
  let settled = false;
  burnt.catch(() => {
    settled = true;
  });
  await capabilities.authorize(remembered, tiny);
  expect(settled).toBe(false);
  await expect(burnt).rejects.toMatchObject({ code: "E_TOKEN_COST" });
  await Promise.all(waiting);
  expect(capabilities.counts.watchdogKills).toBe(kills + 1);
  // It is known by now, and costs no other worker.
  await expect(capabilities.authorize(bad, tiny)).rejects.toMatchObject({ code: "E_TOKEN_COST" });
  expect(capabilities.counts.watchdogKills).toBe(kills + 1);
});

test("decisions are remembered by token and operation", async () => {
  const { capabilities } = bench;
  const token = await bench.mint();
  await capabilities.authorize(token, tiny);
  const before = capabilities.counts.cacheHits;
  await capabilities.authorize(token, tiny);
  expect(capabilities.counts.cacheHits).toBe(before + 1);
  await expect(capabilities.authorize(token, completionOn("other"))).rejects.toMatchObject({
    code: "E_CAPABILITY",
  });
  expect(capabilities.counts.cacheHits).toBe(before + 1);
});
