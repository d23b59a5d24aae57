/** What ledgers say of a stream whose server died. */

import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leafHash, toHex } from "../../src/crypto/mod.ts";
import { encodeEntry } from "../../src/records/mod.ts";
import { entriesOf } from "../audit/recorded.ts";
import { claw, makeFolder, makeTinyModel } from "../cli/claw.ts";
import { NatsServer, natsHere } from "../cluster/nats-server.ts";
import { PostgresServer, postgresHere } from "../ledger/postgres-server.ts";
import { GatewayServer, owner, writeSecret } from "./servers.ts";
import { StubbornClient } from "./stubborn-client.ts";

const TOKENS = 250;
const body = {
  prompt: "Once",
  max_tokens: TOKENS,
  seed: 1,
  ignore_eos: true,
  logprobs: 0,
  stream: true,
  openclaw: { resumable: true },
};

describe.skipIf(!natsHere)("a stream that was taken over (needs nats-server)", () => {
  const folder = makeFolder();
  const nats = new NatsServer();
  let model = "";
  let database: PostgresServer | undefined;

  beforeAll(async () => {
    model = makeTinyModel(folder);
    writeSecret(folder);
    await nats.start();
    if (!postgresHere) return;
    database = new PostgresServer();
    await database.start();
    writeFileSync(join(folder, "url"), `${database.url}\n`, { mode: 0o600 });
  }, 120_000);
  afterAll(() => Promise.all([nats.remove(), database?.remove()]));

  /** A stream whose server is killed after some tokens: the ledgers' folders, the dead server's first. */
  async function takenOver(name: string, more: readonly string[]): Promise<[string, string]> {
    const ledgers = ["one", "two"].map((each) => join(folder, `${name}-${each}`));
    const servers: GatewayServer[] = [];
    for (const [index, ledger] of ledgers.entries()) {
      mkdirSync(ledger, { mode: 0o700 });
      // Servers of one log have the same keys.
      for (const key of index === 0 ? [] : ["log.key", "log-ml-dsa-44.key"]) {
        cpSync(join(ledgers[0] ?? "", key), join(ledger, key));
      }
      const own = ["--device", "reference", "--cluster-bucket", name, "--ledger", ledger];
      const flags = [...own, "--ledger-name", `ledger.example/${name}`, ...more];
      servers.push(await GatewayServer.start(`${name}-${index}`, { folder, model, nats, flags }));
    }
    const holder = await owner(servers);
    const urls = (): string[] => servers.map(({ url }) => url);
    const client = new StubbornClient({ urls, body, patienceMs: 2000, deadlineMs: 40_000 });
    while (client.events.length < 60) await Promise.race([sleep(1), client.done]);
    await holder.kill();
    await client.done;
    expect(client.trouble.breaks).toBeGreaterThan(0);
    const last = client.events.findLast(({ data }) => data.includes('"records"'));
    expect(last?.data).toMatch(/"records":\[\{"choice":0,"entry":\d+,"leaf_hash":"[0-9a-f]{64}"\}\]/);
    for (const server of servers) if (server !== holder) expect(await server.stop()).toBe(0);
    const gone = `${name}-${servers.indexOf(holder) === 0 ? "one" : "two"}`;
    const dead = ledgers.find((each) => each.endsWith(gone)) ?? "";
    return [dead, ledgers.find((each) => each !== dead) ?? ""];
  }

  const leafOf = (entry: Parameters<typeof encodeEntry>[0]): string => toHex(leafHash(encodeEntry(entry)));

  test("stands twice: cut off where its server died, and whole where it ended, which names the other", {
    timeout: 90_000,
  }, async () => {
    const [dead, alive] = await takenOver("files", []);
    const [before, after] = [await entriesOf(dead), await entriesOf(alive)];
    const opened = before.filter(({ kind }) => kind === "open");
    expect(opened).toHaveLength(1);
    expect(before.some(({ kind }) => kind === "close")).toBe(false);
    const [open] = opened;
    const continued = after.find(({ kind }) => kind === "open");
    const closed = after.find(({ kind }) => kind === "close");
    if (open?.kind !== "open" || closed?.kind !== "close") throw new Error("The entries are not there.");
    expect(open.continues).toBeUndefined();
    expect(continued).toMatchObject({ continues: leafOf(open), request: open.request });
    expect(closed).toMatchObject({ continues: leafOf(open), tokens: TOKENS, finish: "length" });
    expect(continued?.stream).not.toBe(open.stream);
    const replaying = ["audit", "replay", `${after.indexOf(closed)}`, "--ledger", alive, "--model", model];
    const replayed = await claw([...replaying, "--device", "reference", "--json"]);
    expect(JSON.parse(replayed.stdout)).toMatchObject({ tokens: TOKENS, same: true });
  });

  test.skipIf(!postgresHere)(
    "stands in one log, where the servers share it (needs PostgreSQL)",
    {
      timeout: 90_000,
    },
    async () => {
      const [, alive] = await takenOver("shared", ["--ledger-postgres-url-file", join(folder, "url")]);
      const entries = await entriesOf(alive, database?.url);
      const [first, second, ...others] = entries.filter(({ kind }) => kind === "open");
      expect(others).toEqual([]);
      if (first === undefined || second?.kind !== "open") throw new Error("The entries are not there.");
      expect(second.continues).toBe(leafOf(first));
      expect(entries.filter(({ kind }) => kind === "close").map(({ stream }) => stream)).toEqual([
        second.stream,
      ]);
    },
  );
});
