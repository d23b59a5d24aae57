import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { BiscuitInstance } from "../../src/capability/biscuit.ts";
import { Evaluator } from "../../src/capability/evaluate.ts";
import type { SandboxGrants } from "../../src/capability/mod.ts";
import { factsOf, type Operation } from "../../src/capability/operation.ts";
import { type Restrictions, type Rights, restrictionsCode, rightsCode } from "../../src/capability/rights.ts";
import { ofCases } from "../long.ts";
import { allows } from "./reference.ts";

const CHAINS = ofCases(1000, 0.5);
const OPERATIONS = 2;

const models = ["alpha", "beta", 'a "quoted" \\ name'];
const endpoints = ["/v1/completions", "/v1/chat/completions"];
const names = ["x", "y"];

const some = (of: readonly string[], star = false): fc.Arbitrary<string[]> =>
  star
    ? fc.oneof(
        { weight: 1, arbitrary: fc.constant<string[]>(["*"]) },
        { weight: 2, arbitrary: fc.subarray([...of]) },
      )
    : fc.subarray([...of]);
const one = (of: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...of);

const grant = fc.record({
  endpoints: some(endpoints, true),
  models: some(models, true),
  adapters: some(names, true),
  tools: some(names, true),
});

const sandbox: fc.Arbitrary<SandboxGrants> = fc.record({
  sql: fc.array(
    fc.record({
      databases: some(names),
      verbs: some(names),
      tables: some(names),
      columns: some(names, true),
    }),
    { maxLength: 2 },
  ),
  connect: fc.array(
    fc.record({ protocols: some(names), hosts: some(names), ports: fc.subarray([80, 443]) }),
    { maxLength: 2 },
  ),
  files: fc.array(fc.record({ modes: some(names), paths: some(["/data", "/data/in"]) }), { maxLength: 2 }),
  syscalls: some(names),
});

const rights: fc.Arbitrary<Rights> = fc
  .record({
    tenant: fc.constant("team"),
    inference: fc.array(grant, { maxLength: 3 }),
    scopes: fc.subarray(["metrics", "admin"] as const).map((scopes) => [...scopes]),
    sandbox,
  })
  .map(({ sandbox: grants, ...others }) => ({ ...others, ...grants }));

const restrictions: fc.Arbitrary<Restrictions> = fc.record(
  {
    models: fc.subarray(models, { minLength: 1 }),
    endpoints: fc.subarray(endpoints, { minLength: 1 }),
    adapters: some(names),
    tools: some(names),
    expires: fc.integer({ min: 50, max: 300 }),
    notBefore: fc.integer({ min: 0, max: 120 }),
    sandbox,
  },
  { requiredKeys: [] },
);

/** Blocks of somebody who wants more: facts, rules and checks that would help if a later block could give rights. */
const hostile = fc.constantFrom(
  'grant_inference({"*"}, {"*"}, {"*"}, {"*"}); grant_scope("metrics"); grant_scope("admin");',
  'grant_sql({"x", "y"}, {"x", "y"}, {"x", "y"}, {"*"}); grant_syscall({"x", "y"}); tenant("owner");',
  'grant_file({"x", "y"}, {"/data", "/data/in"}) <- tenant($t); time(2000-01-01T00:00:00Z);',
  'operation("metrics"); operation("list"); endpoint("/v1/completions"); inference("/v1/completions", {"alpha"}, {,}, {,});',
  'check if true; grant_connect({"x", "y"}, {"x", "y"}, {80, 443});',
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("inference" as const),
      endpoint: one(endpoints),
      models: one(models).map((model) => [model, "root"]),
      adapters: fc.subarray(names, { maxLength: 1 }),
      tools: fc.subarray(names, { maxLength: 1 }),
    }),
  },
  { weight: 1, arbitrary: one(endpoints).map((endpoint) => ({ kind: "list" as const, endpoint })) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("metrics" as const, "admin" as const),
      endpoint: one(endpoints),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("sql" as const),
      database: one(names),
      verb: one(names),
      table: one(names),
      columns: some(names),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("connect" as const),
      protocol: one(names),
      host: one(names),
      port: fc.constantFrom(80, 443),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("file" as const),
      mode: one(names),
      path: one(["/data", "/data/in/a", "/database", "/data/other"]),
    }),
  },
  { weight: 2, arbitrary: one(names).map((name) => ({ kind: "syscall" as const, name })) },
);

const chain = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: restrictions },
    { weight: 2, arbitrary: fc.record({ sandbox }) },
    { weight: 1, arbitrary: hostile },
  ),
  { maxLength: 4 },
);
const sandboxed: ReadonlySet<Operation["kind"]> = new Set(["sql", "connect", "file", "syscall"]);
const asked = fc.record({ operation, now: fc.integer({ min: 100, max: 110 }) });

let instance: BiscuitInstance;

beforeAll(async () => {
  instance = await BiscuitInstance.open();
});

test("a chain of attenuations allows what a reference in TypeScript says, and never more than the chain before", () => {
  const { biscuits } = instance;
  const pair = new biscuits.KeyPair(biscuits.SignatureAlgorithm.Ed25519);
  const evaluator = new Evaluator(biscuits, [{ id: 1, publicKey: pair.getPublicKey().toString() }]);
  const privateKey = pair.getPrivateKey().toString();
  instance.keep();
  const seen = {
    chains: 0,
    allowed: 0,
    denied: 0,
    narrowed: 0,
    hostile: 0,
    sandboxed: 0,
    sandboxNarrowed: 0,
  };
  const decide = (token: string, { operation, now }: { operation: Operation; now: number }): boolean => {
    const { refusal, identity } = evaluator.evaluate({ token, facts: factsOf(operation), now });
    instance.reset();
    expect(identity?.tenant).toBe("team");
    if (refusal !== undefined) expect(["E_CAPABILITY", "E_TOKEN_EXPIRED"]).toContain(refusal.code);
    return refusal === undefined;
  };
  const property = fc.property(
    rights,
    chain,
    fc.array(asked, { minLength: OPERATIONS, maxLength: OPERATIONS }),
    (given, blocks, questions) => {
      seen.chains++;
      const builder = biscuits.Biscuit.builder();
      builder.setRootKeyId(1);
      builder.addCode(rightsCode(given));
      let token = builder.build(biscuits.PrivateKey.fromString(privateKey));
      const tokens = [token.toBase64()];
      for (const [index, block] of blocks.entries()) {
        const next = biscuits.Biscuit.block_builder();
        next.addCode(typeof block === "string" ? block : restrictionsCode(block, index + 1));
        token = token.appendBlock(next);
        tokens.push(token.toBase64());
        if (typeof block === "string") seen.hostile++;
      }
      instance.reset();
      for (const question of questions) {
        const decisions = tokens.map((text) => decide(text, question));
        const expected = tokens.map((_, length) => {
          const narrowing = blocks.slice(0, length).filter((block) => typeof block !== "string");
          return allows(given, narrowing, question);
        });
        expect(decisions).toEqual(expected);
        const last = decisions.at(-1);
        if (last) seen.allowed++;
        else seen.denied++;
        if (decisions[0] && !last) seen.narrowed++;
        if (sandboxed.has(question.operation.kind) && decisions[0]) {
          if (last) seen.sandboxed++;
          else seen.sandboxNarrowed++;
        }
        expect(decisions.slice(1).every((allowed, index) => !allowed || decisions[index])).toBe(true);
      }
    },
  );
  fc.assert(property, { numRuns: CHAINS });
  console.log(`attenuation: ${JSON.stringify(seen)}`);
  expect(seen.chains).toBeGreaterThanOrEqual(CHAINS);
  expect(seen.allowed).toBeGreaterThan(0.15 * CHAINS);
  expect(seen.denied).toBeGreaterThan(0.15 * CHAINS);
  expect(seen.narrowed).toBeGreaterThan(0.1 * CHAINS);
  expect(seen.hostile).toBeGreaterThan(0.2 * CHAINS);
  expect(seen.sandboxed).toBeGreaterThan(0.02 * CHAINS);
  expect(seen.sandboxNarrowed).toBeGreaterThan(0.02 * CHAINS);
}, 120_000);
