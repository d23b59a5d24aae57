/** The contract of storages, over both drivers; and what only PostgreSQL does: several writers, and settings that it refuses. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NOTE_KEY, noteVerifier, toHex, utf8, verifyInclusion } from "../../src/crypto/mod.ts";
import {
  auditLog,
  decodeBundle,
  FileStorage,
  FolderDisk,
  inclusionProof,
  Log,
  type LogOptions,
  type LogStorage,
  newTiles,
  PostgresStorage,
  readOrMakeKey,
  signingKey,
} from "../../src/ledger/mod.ts";
import { MemoryTree } from "./memory-tree.ts";
import { PostgresServer, postgresHere } from "./postgres-server.ts";

const ORIGIN = "ledger.example/storage";
const folder = mkdtempSync(join(tmpdir(), "claw-storage-"));
const noPostgres = postgresHere ? "" : " (skipped: needs PostgreSQL)";
let server: PostgresServer | undefined;
let keys: Omit<LogOptions, "storage">;

beforeAll(async () => {
  const key = signingKey(readOrMakeKey(join(folder, "key"), NOTE_KEY.ED25519), {
    name: ORIGIN,
    type: NOTE_KEY.ED25519,
    now: () => 0,
  });
  keys = { origin: ORIGIN, signers: [key], verifiers: [noteVerifier(key.vkey)] };
  if (!postgresHere) return;
  server = new PostgresServer();
  await server.start();
}, 120_000);

afterAll(async () => {
  await server?.remove();
  rmSync(folder, { recursive: true, force: true });
});

const url = (): string => server?.url ?? "";

interface Driver {
  readonly name: string;
  readonly open: (log: string) => LogStorage;
}

const files: Driver = { name: "files", open: (log) => new FileStorage(new FolderDisk(join(folder, log))) };
const postgres: Driver = { name: "PostgreSQL", open: (log) => new PostgresStorage({ url: url(), log }) };
const drivers: readonly Driver[] = postgresHere ? [files, postgres] : [files];

/** Every entry that the published log holds, read as a stranger would. */
async function publishedEntries(log: Log): Promise<string[]> {
  const bundles = newTiles(0, log.checkpoint.size).filter(({ level }) => level === "entries");
  const entries: Uint8Array[] = [];
  for (const name of bundles) entries.push(...(decodeBundle(await log.tile(name)) ?? []));
  return entries.map(toHex);
}

const texts = (count: number, prefix = "entry"): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => utf8(`${prefix} ${i} ${"x".repeat(i % 90)}`));

describe.each(drivers)("a log in $name", ({ name, open }) => {
  test("keeps entries over restarts; its roots and tiles are those of the definition", {
    timeout: 60_000,
  }, async () => {
    const entries = texts(1300);
    const tree = new MemoryTree(entries);
    for (const [first, end] of [
      [0, 1],
      [1, 255],
      [255, 256],
      [256, 900],
      [900, 1300],
    ] as const) {
      const log = await Log.open({ storage: open(`${name}-kept`), ...keys });
      expect(log.size).toBe(first);
      const placed = await Promise.all(entries.slice(first, end).map((entry) => log.add(entry)));
      expect(placed.map(({ index }) => index)).toEqual(
        Array.from({ length: end - first }, (_, i) => first + i),
      );
      // Every other start finds the last entries in the sequence alone.
      if (end !== 255) await log.publish();
      await log.close();
    }
    const log = await Log.open({ storage: open(`${name}-kept`), ...keys });
    expect([log.checkpoint.size, toHex(log.checkpoint.root)]).toEqual([1300, toHex(tree.root(1300))]);
    expect(await publishedEntries(log)).toEqual(entries.map(toHex));
    for (const index of [0, 255, 256, 1023, 1299]) {
      const proof = await inclusionProof(index, 1300, (tile) => log.tile(tile));
      verifyInclusion(proof, { leaf: tree.leaf(index), index, size: 1300, root: log.checkpoint.root });
    }
    await log.close();
  });

  test("has proofs for every size that it ever had, though unfinished tiles go", {
    timeout: 60_000,
  }, async () => {
    const log = await Log.open({ storage: open(`${name}-steady`), ...keys });
    const entries = texts(300);
    for (const entry of entries) {
      await log.add(entry);
      await log.publish();
    }
    const tree = new MemoryTree(entries);
    for (const size of [1, 200, 255, 256, 257, 300]) {
      const proof = await inclusionProof(size - 1, size, (tile) => log.tile(tile));
      verifyInclusion(proof, { leaf: tree.leaf(size - 1), index: size - 1, size, root: tree.root(size) });
    }
    await log.close();
  });

  test("is not opened under another name, nor with a key that did not sign it", async () => {
    const log = await Log.open({ storage: open(`${name}-named`), ...keys });
    await log.add(utf8("entry"));
    await log.publish();
    await log.close();
    const refusal = async (change: Partial<LogOptions>): Promise<unknown> => {
      const storage = open(`${name}-named`);
      const error = await Log.open({ storage, ...keys, ...change }).catch((thrown: unknown) => thrown);
      await storage.close();
      return error;
    };
    expect(await refusal({ origin: "other" })).toMatchObject({ code: "E_LEDGER" });
    expect(await refusal({ verifiers: [] })).toMatchObject({ code: "E_NOTE" });
  });
});

describe.skipIf(!postgresHere)(`PostgreSQL${noPostgres}`, () => {
  const storage = (log: string): PostgresStorage => new PostgresStorage({ url: url(), log });

  async function sql(...statements: string[]): Promise<void> {
    const client = new pg.Client({ connectionString: url() });
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
  }

  test("has several writers that lose and double nothing, and whose checkpoints agree", {
    timeout: 120_000,
  }, async () => {
    const logs = await Promise.all(
      Array.from({ length: 4 }, () => Log.open({ storage: storage("several"), ...keys })),
    );
    const acknowledged = new Map<number, string>();
    const roots = new Map<number, string>();
    let doubled = 0;
    await Promise.all(
      logs.map(async (log, writer) => {
        for (let round = 0; round < 40; round++) {
          const entries = texts(1 + ((round * 7 + writer) % 13), `${writer}:${round}`);
          const placed = await Promise.all(entries.map((entry) => log.add(entry)));
          for (const [i, { index }] of placed.entries()) {
            if (acknowledged.has(index)) doubled++;
            acknowledged.set(index, toHex(entries[i] as Uint8Array));
          }
          if (round % 3 !== writer % 3) continue;
          await log.publish();
          const root = toHex(log.checkpoint.root);
          expect(roots.get(log.checkpoint.size) ?? root).toBe(root);
          roots.set(log.checkpoint.size, root);
        }
      }),
    );
    for (const log of logs) await log.close();
    expect(doubled).toBe(0);
    const log = await Log.open({ storage: storage("several"), ...keys });
    const entries = await publishedEntries(log);
    expect(entries).toHaveLength(acknowledged.size);
    for (const [index, entry] of acknowledged) expect(entries[index]).toBe(entry);
    const tree = new MemoryTree(entries.map((hex) => Uint8Array.from(Buffer.from(hex, "hex"))));
    for (const [size, root] of roots) expect(toHex(tree.root(size))).toBe(root);
    await log.close();
    expect(acknowledged.size).toBeGreaterThanOrEqual(1000);
    expect(roots.size).toBeGreaterThanOrEqual(30);
  });

  test("tells a writer what others added, also what went into bundles meanwhile", {
    timeout: 60_000,
  }, async () => {
    const slow = await Log.open({ storage: storage("slow"), ...keys });
    const fast = await Log.open({ storage: storage("slow"), ...keys });
    await Promise.all(texts(700).map((entry) => fast.add(entry)));
    await fast.publish(); // releases the first 512
    const { index } = await slow.add(utf8("late"));
    expect([index, slow.size]).toEqual([700, 701]);
    await slow.publish();
    expect((await publishedEntries(slow)).at(-1)).toBe(toHex(utf8("late")));
    await slow.close();
    await fast.close();
  });

  test("is verified whole, also while others write; what is damaged is named, or the entry", {
    timeout: 60_000,
  }, async () => {
    const log = await Log.open({ storage: storage("audited"), ...keys });
    await Promise.all(texts(600).map((entry) => log.add(entry)));
    await log.publish();
    await Promise.all(texts(5, "later").map((entry) => log.add(entry)));
    const audit = async (): Promise<object> => {
      const reader = storage("audited");
      try {
        return await auditLog(reader, keys.verifiers);
      } catch (error) {
        return error as Error;
      } finally {
        await reader.close();
      }
    };
    const whole = { origin: ORIGIN, size: 600, journaled: 5, signedBy: [ORIGIN] };
    expect(await audit()).toMatchObject(whole);
    const file = (path: string): string => `log = 'audited' AND path = '${path}'`;
    const flip = (column: string): string =>
      `${column} = set_byte(${column}, 50, get_byte(${column}, 50) # 4)`;
    const damages: readonly (readonly [string, string])[] = [
      [`UPDATE claw_ledger_files SET ${flip("bytes")} WHERE ${file("tile/0/001")}`, "tile/0/001"],
      [`UPDATE claw_ledger_files SET ${flip("bytes")} WHERE ${file("tile/entries/000")}`, "tile/0/000"],
      [`DELETE FROM claw_ledger_files WHERE ${file("tile/entries/001")}`, "tile/entries/001"],
      [`DELETE FROM claw_ledger_files WHERE ${file("tile/1/000.p/2")}`, "tile/1/000.p/2"],
      ["DELETE FROM claw_ledger_entries WHERE log = 'audited' AND index = 602", "lacks entry 602"],
      ["DELETE FROM claw_ledger_entries WHERE log = 'audited' AND index = 550", "lacks entry 550"],
      ["UPDATE claw_ledger_entries SET entry = 'x' WHERE log = 'audited' AND index = 550", "entry 550"],
    ];
    const tables = ["claw_ledger_files", "claw_ledger_entries"];
    await sql(...tables.map((table) => `CREATE TABLE whole_${table} AS TABLE ${table}`));
    for (const [damage, named] of damages) {
      await sql(damage);
      expect(await audit(), damage).toMatchObject({
        code: "E_LEDGER",
        message: expect.stringContaining(named),
      });
      await sql(
        ...tables.map((table) => `DELETE FROM ${table} WHERE log = 'audited'`),
        ...tables.map((table) => `INSERT INTO ${table} SELECT * FROM whole_${table} WHERE log = 'audited'`),
      );
    }
    expect(await audit()).toMatchObject(whole);
    let audited = 0;
    const writing = (async () => {
      for (let round = 0; round < 40 || audited < 5; round++) {
        await Promise.all(texts(20, `more ${round}`).map((entry) => log.add(entry)));
        await log.publish();
      }
    })();
    const sizes = new Set<number>();
    for (; audited < 20; audited++) {
      const found = await audit();
      expect(found).toMatchObject({ origin: ORIGIN });
      sizes.add((found as { size: number }).size);
    }
    await writing;
    await log.close();
    expect(sizes.size).toBeGreaterThanOrEqual(5);
  });

  test("never takes a checkpoint back, nor another content for a tile", async () => {
    const driver = storage("swap");
    await driver.open();
    await driver.publishCheckpoint(5, utf8("five"));
    await driver.publishCheckpoint(4, utf8("four"));
    expect(Buffer.from((await driver.read("checkpoint")) ?? []).toString()).toBe("five");
    await driver.publish("tile/0/000.p/1", new Uint8Array(32));
    await driver.publish("tile/0/000.p/1", new Uint8Array(32));
    const other = driver.publish("tile/0/000.p/1", new Uint8Array(32).fill(1));
    await expect(other).rejects.toMatchObject({ code: "E_LEDGER" });
    await driver.close();
  });

  test("is refused where it may lose what it acknowledged, and named where it is missing", {
    timeout: 60_000,
  }, async () => {
    const refused = async (message: RegExp): Promise<void> => {
      const driver = storage("unsafe");
      await expect(driver.open()).rejects.toMatchObject({
        code: "E_LEDGER_UNSAFE",
        message: expect.stringMatching(message),
      });
      await driver.close();
    };
    await sql("ALTER ROLE postgres SET synchronous_commit = off");
    await refused(/synchronous_commit is off/);
    await sql(
      "ALTER ROLE postgres RESET synchronous_commit",
      "ALTER SYSTEM SET fsync = off",
      "SELECT pg_reload_conf()",
    );
    await refused(/fsync is off/);
    await sql("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()");
    const good = storage("unsafe");
    await good.open();
    await good.close();
    const nowhere = new PostgresStorage({ url: `postgresql:///x?host=${folder}&user=x`, log: "x" });
    await expect(nowhere.open()).rejects.toMatchObject({ code: "E_LEDGER" });
    await nowhere.close();
  });
});
