/** Servers that record into one log in PostgreSQL: together, and while it is started again under them. */

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { verifyReceipt } from "../../src/records/mod.ts";
import { claw, makeFolder, makeTinyModel } from "../cli/claw.ts";
import { PostgresServer, postgresHere } from "../ledger/postgres-server.ts";
import { entriesOf, missing } from "./recorded.ts";
import { ServeProcess } from "./serve-process.ts";
import { StreamClients } from "./stream-clients.ts";

const noPostgres = postgresHere ? "" : " (skipped: needs PostgreSQL)";
const folder = makeFolder();
const model = makeTinyModel(folder);
const urlFile = join(folder, "url");

interface Serving {
  readonly server: ServeProcess;
  readonly ledger: string;
}

describe.skipIf(!postgresHere)(`PostgreSQL${noPostgres}`, () => {
  let database: PostgresServer;
  beforeAll(async () => {
    database = new PostgresServer();
    await database.start();
    writeFileSync(urlFile, `${database.url}\n`, { mode: 0o600 });
  }, 120_000);
  afterAll(() => database?.remove());

  /** A server with a folder of its own and, as an operator would copy them, the keys of another one. */
  async function serve(name: string, log: string, keysOf = ""): Promise<Serving> {
    const ledger = join(folder, name);
    mkdirSync(ledger, { mode: 0o700 });
    for (const key of keysOf === "" ? [] : ["log.key", "log-ml-dsa-44.key", "vault.key"]) {
      cpSync(join(keysOf, key), join(ledger, key));
    }
    const flags = ["--ledger-name", log, "--ledger-postgres-url-file", urlFile];
    const server = await ServeProcess.start({ model, ledger, flags });
    onTestFinished(() => server.kill());
    return { server, ledger };
  }

  async function until(what: () => boolean | Promise<boolean>): Promise<void> {
    for (const deadline = Date.now() + 60_000; !(await what()); await sleep(10)) {
      if (Date.now() > deadline) throw new Error(`It never came to be: ${what}`);
    }
  }

  const ended = ({ streams }: StreamClients): number =>
    streams.filter(({ record }) => record !== undefined).length;

  test("two servers share one log; receipts of both verify with its key, from either", {
    timeout: 120_000,
  }, async () => {
    const first = await serve("first", "ledger.example/shared");
    const second = await serve("second", "ledger.example/shared", first.ledger);
    const both = [first, second].map(
      ({ server }, i) => new StreamClients(server.url, { name: `of-${i}`, lengths: [100, 100] }),
    );
    await until(() => both.every((clients) => ended(clients) >= 5));
    for (const clients of both) await clients.end();
    const streams = both.flatMap((clients) => clients.streams);
    const keys = readFileSync(join(second.ledger, "log.pub"), "utf8").trim().split("\n");
    expect(readFileSync(join(first.ledger, "log.pub"), "utf8").trim().split("\n")).toEqual(keys);
    for (const { request, record } of streams) {
      for (const [i, { server }] of [first, second].entries()) {
        const response = await fetch(`${server.url}/v1/receipts/${record?.entry}`);
        const verified = verifyReceipt(await response.text(), { keys });
        expect(verified).toMatchObject({ index: record?.entry, leaf: record?.leaf_hash });
        expect(verified.entry).toMatchObject({ kind: "close", request });
        // Prompts and answers are in the vault of the server that was asked.
        expect(verified.opened).toBe(request.startsWith(`of-${i}-`));
      }
    }
    for (const { server } of [first, second]) expect(await server.stop()).toBe(0);
    const entries = await entriesOf(second.ledger, database.url);
    expect(missing(entries, streams)).toEqual([]);
    const writers = entries.flatMap((entry) => (entry.kind === "open" ? [entry.request.slice(0, 4)] : []));
    expect(new Set(writers)).toEqual(new Set(["of-0", "of-1"]));

    const close = streams.find(({ request }) => request.startsWith("of-1"))?.record?.entry;
    const replaying = ["audit", "replay", `${close}`, "--ledger", second.ledger, "--model", model];
    const again = await claw([...replaying, "--ledger-postgres-url-file", urlFile, "--json"]);
    expect(JSON.parse(again.stdout)).toMatchObject({ index: close, same: true });
    expect((await claw(replaying)).stderr).toContain("its log is in PostgreSQL");

    const range = ["audit", "range", "0", "end", ...replaying.slice(3), "--max-batch", "8", "--json"];
    const ranged = await claw([...range, "--ledger-postgres-url-file", urlFile]);
    const { replayed, different } = JSON.parse(ranged.stdout) as { replayed: number; different: unknown[] };
    expect(different).toEqual([]);
    expect(replayed).toBeGreaterThanOrEqual(5);
    const verifying = ["--ledger-postgres-url-file", urlFile, "--json", "--key"];
    for (const place of [second.ledger, "ledger.example/shared"]) {
      const verified = await claw(["ledger", "verify", place, ...verifying, join(second.ledger, "log.pub")]);
      expect(JSON.parse(verified.stdout)).toMatchObject({ size: entries.length, journaled: 0 });
    }
    expect((await claw(["ledger", "verify", second.ledger])).stderr).toContain("its log is in PostgreSQL");
  });

  test("a database that is killed and started again breaks streams off with a code, and loses nothing", {
    timeout: 300_000,
  }, async () => {
    const { server, ledger } = await serve("restarted", "ledger.example/restarted");
    const clients = new StreamClients(server.url, { name: "client", lengths: [700, 700, 700, 700] });
    const { streams } = clients;
    const broken = (): number =>
      streams.filter((stream) => stream.broken !== undefined && stream.tokens > 0).length;
    const refused = (): number => streams.filter((stream) => stream.refused !== undefined).length;
    let restarts = 0;
    for (; restarts < 20 && (restarts < 2 || broken() === 0 || refused() === 0); restarts++) {
      const before = ended(clients);
      await until(() => ended(clients) >= before + 2);
      await database.kill();
      await until(async () => (await server.metric("ledger_writable")) === 0);
      const refusals = refused();
      await until(() => refused() > refusals);
      await database.start();
      await until(async () => (await server.metric("ledger_writable")) === 1);
    }
    const before = ended(clients);
    await until(() => ended(clients) >= before + 4);
    await clients.end();
    expect(broken()).toBeGreaterThanOrEqual(1);
    const codes = streams.flatMap((stream) => stream.refused ?? stream.broken ?? []);
    expect([...new Set(codes)]).toEqual(["E_LEDGER"]);
    expect(await server.stop()).toBe(0);
    expect(missing(await entriesOf(ledger, database.url), streams)).toEqual([]);
  });

  test("settings that make commits unsafe are refused also when the database comes back with them", {
    timeout: 120_000,
  }, async () => {
    const { server } = await serve("unsafe", "ledger.example/unsafe");
    const clients = new StreamClients(server.url, { name: "client", lengths: [40] });
    await until(() => ended(clients) >= 1);
    await database.kill();
    await database.start(["-c", "synchronous_commit=off"]);
    try {
      await until(() =>
        clients.streams.some((stream) => (stream.refused ?? stream.broken) === "E_LEDGER_UNSAFE"),
      );
      const told = ended(clients);
      await sleep(1500);
      expect(ended(clients)).toBe(told);
    } finally {
      await database.kill();
      await database.start();
    }
    const told = ended(clients);
    await until(() => ended(clients) > told);
    await clients.end();
    expect(await server.stop()).toBe(0);
  });

  test("a folder's log does not move into a database, nor out of it, and a server with other keys is refused", {
    timeout: 120_000,
  }, async () => {
    const files = join(folder, "files");
    const recorder = await ServeProcess.start({ model, ledger: files });
    expect(await recorder.stop()).toBe(0);
    const flags = ["--ledger-postgres-url-file", urlFile];
    await expect(ServeProcess.start({ model, ledger: files, flags })).rejects.toThrow("holds a log in files");
    const { server, ledger } = await serve("stays", "ledger.example/stays");
    expect(await server.stop()).toBe(0);
    await expect(ServeProcess.start({ model, ledger })).rejects.toThrow("its log is in PostgreSQL");
    const renamed = ["--ledger-name", "ledger.example/renamed", ...flags];
    await expect(ServeProcess.start({ model, ledger, flags: renamed })).rejects.toThrow(
      "ledger.example/stays",
    );
    rmSync(files, { recursive: true });
    await expect(serve("stranger", "ledger.example/stays")).rejects.toThrow("No known key");
  });
});

test("the database's URL comes from a file of its owner's or a variable, and is never repeated", {
  timeout: 120_000,
}, async () => {
  const refused = async (
    flags: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<string> => {
    const args = ["serve", "--model", model, "--port", "0", "--no-auth", ...flags];
    const { status, stderr } = await claw(args, { env });
    expect(status).not.toBe(0);
    return stderr;
  };
  const secret = join(folder, "secret");
  writeFileSync(secret, "mysql://user:hidden@nowhere/", { mode: 0o600 });
  const ledger = ["--ledger", join(folder, "never")];
  const ofFile = await refused([...ledger, "--ledger-postgres-url-file", secret]);
  expect(ofFile).toContain("holds no URL");
  expect(ofFile).not.toContain("hidden");
  expect(
    await refused(["--ledger-postgres-url-file", secret.replace("secret", "url-none"), ...ledger]),
  ).toContain("missing");
  const wide = join(folder, "wide");
  writeFileSync(wide, "postgresql://nowhere/", { mode: 0o644 });
  expect(await refused([...ledger, "--ledger-postgres-url-file", wide])).toContain("chmod 600");
  expect(await refused([...ledger, "--ledger-postgres-url-variable", "NO_SUCH_URL"])).toContain(
    "NO_SUCH_URL",
  );
  const env = { LEDGER_URL: "postgresql://user:hidden@127.0.0.1:1/none" };
  const ofVariable = await refused([...ledger, "--ledger-postgres-url-variable", "LEDGER_URL"], env);
  expect(ofVariable).toContain("ECONNREFUSED");
  expect(ofVariable).not.toContain("hidden");
  const variable = ["--ledger-postgres-url-variable", "LEDGER_URL"];
  expect(await refused(variable, env)).toContain("needs ledger.folder");
  expect(await refused([...ledger, ...variable, "--ledger-postgres-url-file", secret], env)).toContain(
    "name one of them",
  );
});
