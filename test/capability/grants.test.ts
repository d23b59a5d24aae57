import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attenuate, inspect, mint, type Operation, readGrants } from "../../src/capability/mod.ts";
import { appended, type Bench, makeBench } from "./tokens.ts";

let bench: Bench;

beforeAll(async () => {
  bench = await makeBench();
});

afterAll(() => bench.close());

const shop = {
  databases: ["shop"],
  verbs: ["select", "insert"],
  tables: ["orders"],
  columns: ["id", "total"],
};
const whole = {
  sql: [shop, { ...shop, verbs: ["select"], tables: ["customers"], columns: ["*"] }],
  connect: [{ protocols: ["tcp"], hosts: ["db.internal", "10.0.0.7", "fd00::7"], ports: [5432, 6432] }],
  files: [{ modes: ["read"], paths: ["/srv/data", '/srv/it\'s "odd"'] }],
  syscalls: ["read", "write", "openat"],
};

const sql = (verb: string, table: string, columns: string[]): Operation => {
  return { kind: "sql", database: "shop", verb, table, columns };
};
const connect = (host: string, port: number, protocol = "tcp"): Operation => {
  return { kind: "connect", protocol, host, port };
};
const file = (mode: string, path: string): Operation => ({ kind: "file", mode, path });

/** Whether a token allows an operation. */
function allows(token: string, operation: Operation): Promise<boolean> {
  return bench.capabilities.authorize(token, operation).then(
    () => true,
    (error: { code: string }) => {
      expect(error.code).toBe("E_CAPABILITY");
      return false;
    },
  );
}

const within: readonly Operation[] = [
  sql("select", "orders", ["id", "total"]),
  sql("insert", "orders", []),
  sql("select", "customers", ["anything", "at all"]),
  connect("db.internal", 5432),
  connect("fd00::7", 6432),
  file("read", "/srv/data"),
  file("read", "/srv/data/in/a"),
  file("read", '/srv/it\'s "odd"/a'),
  { kind: "syscall", name: "openat" },
];

/** Each takes something of one grant and something of another, or a little more than a grant has. */
const beyond: readonly Operation[] = [
  sql("insert", "customers", ["id"]),
  sql("select", "orders", ["id", "secret"]),
  sql("delete", "orders", ["id"]),
  { ...sql("select", "orders", ["id"]), database: "other" } as Operation,
  connect("db.internal", 22),
  connect("evil.example", 5432),
  connect("db.internal", 5432, "udp"),
  file("write", "/srv/data/in/a"),
  file("read", "/srv/database"),
  file("read", "/srv"),
  { kind: "syscall", name: "ptrace" },
  { kind: "metrics", endpoint: "/metrics" },
];

const minted = (grants: object): Promise<string> =>
  mint(bench.folder.signingKey(), { tenant: "team", ...readGrants(JSON.parse(JSON.stringify(grants))) });

test("grants for sandboxes open what they name in all their sets at once, and nothing else", async () => {
  const token = await minted(whole);
  for (const operation of within)
    expect(await allows(token, operation), JSON.stringify(operation)).toBe(true);
  for (const operation of beyond)
    expect(await allows(token, operation), JSON.stringify(operation)).toBe(false);
  const { blocks } = await inspect(token, bench.folder.publicKeys());
  expect(blocks.join("\n")).not.toMatch(/check all|^allow/m);
});

test("narrowing to other grants leaves what both allow, and every kind that is not named is closed", async () => {
  const keys = bench.folder.publicKeys();
  const parent = await minted(whole);
  const narrower = {
    sql: [{ ...shop, verbs: ["select", "delete"], columns: ["*"] }],
    files: [{ modes: ["read", "write"], paths: ["/srv"] }],
  };
  const child = await attenuate(parent, keys, { sandbox: readGrants(narrower) });
  const left = [
    sql("select", "orders", ["id", "total"]),
    ...within.filter((operation) => operation.kind === "file"),
  ];
  for (const operation of within) {
    const expected = left.some((one) => JSON.stringify(one) === JSON.stringify(operation));
    expect(await allows(child, operation), JSON.stringify(operation)).toBe(expected);
  }
  for (const operation of beyond) expect(await allows(child, operation)).toBe(false);
  const closed = await attenuate(child, keys, { sandbox: {} });
  for (const operation of within) expect(await allows(closed, operation)).toBe(false);
});

test("narrowing what sandboxes may do leaves inference as it was", async () => {
  const token = await bench.mint();
  const narrowed = await attenuate(token, bench.folder.publicKeys(), { sandbox: {} });
  const inference = { kind: "inference", endpoint: "/v1/completions", adapters: [], tools: [] } as const;
  expect(await allows(narrowed, { ...inference, models: ["tiny"] })).toBe(true);
  expect(await allows(narrowed, { kind: "list", endpoint: "/v1/models" })).toBe(true);
});

test("a block that grants, claims another operation or checks nothing opens nothing to a narrowed token", async () => {
  const parent = await minted({ syscalls: ["read"] });
  const child = await attenuate(parent, bench.folder.publicKeys(), { sandbox: { syscalls: ["read"] } });
  for (const code of [
    'grant_syscall({"ptrace"}); grant_file({"read"}, {"/srv"});',
    'operation("list"); syscall("read"); file("read", "/srv");',
    'check if operation($o), !{"sql"}.contains($o); check if true;',
    'grant_syscall({"ptrace"}) <- syscall($n); syscall("read") <- syscall($n);',
  ]) {
    const wider = await appended(child, bench.folder, code);
    for (const operation of beyond) expect(await allows(wider, operation), code).toBe(false);
  }
});

test("grants that say too little, too much or what nobody will ask are refused with their place", () => {
  const refusals: readonly [unknown, string][] = [
    [[], "grants is no object"],
    [{ sqll: [] }, 'grants has "sqll"; known are sql, connect, files, syscalls'],
    [{ sql: [] }, "sql is no array of 1 to 64"],
    [{ sql: [{ ...shop, columns: undefined }] }, "sql[0].columns is no array"],
    [{ sql: [shop, { ...shop, verbs: ["select", "selct"] }] }, "sql[1].verbs[1] is not one of select"],
    [{ sql: [{ ...shop, tables: ["*"] }] }, "sql[0].tables[0] is not a name"],
    [{ sql: [{ ...shop, rows: ["1"] }] }, 'sql[0] has "rows"'],
    [{ connect: [{ protocols: ["tcp"], hosts: ["*"], ports: [1] }] }, "connect[0].hosts[0]"],
    [{ connect: [{ protocols: ["tcp"], hosts: ["a"], ports: [0] }] }, "connect[0].ports[0] is no port"],
    [{ connect: [{ protocols: ["tcp"], hosts: ["a"], ports: ["80"] }] }, "connect[0].ports[0] is no port"],
    [{ files: [{ modes: ["read"], paths: ["/"] }] }, "files[0].paths[0]"],
    [{ files: [{ modes: ["read"], paths: ["/srv/../etc"] }] }, "files[0].paths[0]"],
    [{ files: [{ modes: ["read"], paths: ["/srv/"] }] }, "files[0].paths[0]"],
    [{ syscalls: ["read", ""] }, "syscalls[1]"],
    [{ syscalls: Array.from({ length: 257 }, (_, n) => `call${n}`) }, "1 to 256"],
  ];
  for (const [document, message] of refusals) {
    expect(() => readGrants(document), message).toThrow(
      expect.objectContaining({ code: "E_PARAMETER", message: expect.stringContaining(message) }),
    );
  }
  fc.assert(
    fc.property(fc.jsonValue(), (document) => {
      try {
        readGrants(document);
      } catch (error) {
        expect(error).toMatchObject({ code: "E_PARAMETER" });
      }
    }),
  );
});
