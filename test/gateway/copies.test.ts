/** The holder of the lease dies, and what it kept of KV pages is not lost with it: the next one goes on from there. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { makeFolder, makeTinyModel } from "../cli/claw.ts";
import { NatsServer, natsHere } from "../cluster/nats-server.ts";
import { bytesOf, comparable } from "../server/sse-client.ts";
import { GatewayServer, owner, writeSecret } from "./servers.ts";
import { StubbornClient } from "./stubborn-client.ts";

const PROMPT_TOKENS = 260;

describe.skipIf(!natsHere || !nativeAvailable())(
  "copies of pages (needs nats-server and the native core)",
  () => {
    const folder = makeFolder();
    const nats = new NatsServer();
    const servers: GatewayServer[] = [];

    afterAll(async () => {
      await Promise.all(servers.map((server) => server.kill()));
      await nats.remove();
    });

    test("outlive the server that made them", { timeout: 90_000 }, async () => {
      writeSecret(folder);
      await nats.start();
      const copies = join(folder, "copies");
      mkdirSync(copies, { mode: 0o700 });
      const flags = ["--ranks-run-in", "processes", "--tensor-parallelism-degree", "2"];
      flags.push("--ranks-copy-folder", copies);
      const setting = { folder, model: makeTinyModel(folder), nats, flags };
      await Promise.all(
        ["one", "two"].map(async (name) => servers.push(await GatewayServer.start(name, setting))),
      );
      const bodies = [1, 2, 3].map((seed) => {
        const prompt = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * 31 + seed * 97 + 5) % 500);
        const request = { prompt, max_tokens: 120, seed, ignore_eos: true, stream: true };
        return { ...request, openclaw: { resumable: true } };
      });
      const read = (): StubbornClient[] => {
        const urls = (): string[] => servers.map(({ url }) => url);
        return bodies.map((body) => new StubbornClient({ urls, body, patienceMs: 5000, deadlineMs: 60_000 }));
      };
      const bytes = (clients: readonly StubbornClient[]): string[] =>
        clients.map(({ events }) => comparable(bytesOf({ events })));
      const undisturbed = read();
      await Promise.all(undisturbed.map(({ done }) => done));

      const holder = await owner(servers);
      const clients = read();
      const all = Promise.all(clients.map(({ done }) => done));
      while (clients.some(({ events }) => events.length < 30)) await Promise.race([sleep(2), all]);
      await holder.kill();
      servers.splice(servers.indexOf(holder), 1);
      await all;
      expect(bytes(clients)).toEqual(bytes(undisturbed));

      const other = await owner(servers);
      const cut = clients.filter(({ trouble }) => trouble.breaks > 0).length;
      expect(cut).toBeGreaterThanOrEqual(1);
      // The prompt and some of the answer, but for what was on its way.
      expect(await other.metric("restored_tokens_total")).toBeGreaterThan(cut * (PROMPT_TOKENS - 64));
    });
  },
);
