/** The holder of the lease dies, and what it kept of KV pages is not lost with it: the next one goes on from there. */

import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { makeFolder, makeTinyModel } from "../cli/claw.ts";
import { NatsServer, natsHere } from "../cluster/nats-server.ts";
import { bytesOf, comparable } from "../server/sse-client.ts";
import { type ClusterSetting, GatewayServer, owner, writeSecret } from "./servers.ts";
import { StubbornClient } from "./stubborn-client.ts";

const PROMPT_TOKENS = 260;
/** Full ones. */
const PROMPT_PAGES = Math.floor(PROMPT_TOKENS / 32);

describe.skipIf(!natsHere || !nativeAvailable())(
  "copies of pages (needs nats-server and the native core)",
  () => {
    const folder = makeFolder();
    const nats = new NatsServer();
    const servers: GatewayServer[] = [];
    let setting: Omit<ClusterSetting, "flags">;

    beforeAll(async () => {
      writeSecret(folder);
      await nats.start();
      setting = { folder, model: makeTinyModel(folder), nats };
    });

    afterAll(async () => {
      await Promise.all(servers.map((server) => server.kill()));
      await nats.remove();
    });

    /** Streams of another cluster are not gone on with. */
    async function start(
      name: string,
      { cluster, copies, model = setting.model }: { cluster: string; copies: string; model?: string },
    ): Promise<void> {
      mkdirSync(copies, { recursive: true, mode: 0o700 });
      const flags = ["--ranks-run-in", "processes", "--tensor-parallelism-degree", "2"];
      flags.push("--ranks-copy-folder", copies, "--cluster-bucket", cluster);
      servers.push(await GatewayServer.start(name, { ...setting, model, flags }));
    }

    const bodiesOf = (seeds: readonly number[], tokens: number): object[] =>
      seeds.map((seed) => {
        const prompt = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * 31 + seed * 97 + 5) % 500);
        const request = { prompt, max_tokens: tokens, seed, ignore_eos: true, stream: true };
        return { ...request, openclaw: { resumable: true } };
      });
    const read = (bodies: readonly object[]): StubbornClient[] => {
      const urls = (): string[] => servers.map(({ url }) => url);
      return bodies.map((body) => new StubbornClient({ urls, body, patienceMs: 5000, deadlineMs: 60_000 }));
    };
    const bytes = (clients: readonly StubbornClient[]): string[] =>
      clients.map(({ events }) => comparable(bytesOf({ events })));

    /** Kills the holder in the middle of streams, when `ready`; how many of them another one went on with. */
    async function cut(bodies: readonly object[], ready: () => boolean): Promise<[StubbornClient[], number]> {
      const holder = await owner(servers);
      const clients = read(bodies);
      const all = Promise.all(clients.map(({ done }) => done));
      const begun = (): boolean => clients.every(({ events }) => events.length >= 30) && ready();
      while (!begun()) {
        expect(clients.every(({ complete }) => complete)).toBe(false);
        await sleep(2);
      }
      await holder.kill();
      servers.splice(servers.indexOf(holder), 1);
      await all;
      return [clients, clients.filter(({ trouble }) => trouble.breaks > 0).length];
    }

    test("outlive the server that made them, in a folder of both", { timeout: 90_000 }, async () => {
      const copies = join(folder, "copies");
      await Promise.all(["one", "two"].map((name) => start(name, { cluster: "shared", copies })));
      const bodies = bodiesOf([1, 2, 3], 120);
      const undisturbed = read(bodies);
      await Promise.all(undisturbed.map(({ done }) => done));
      const [clients, broken] = await cut(bodies, () => true);
      expect(bytes(clients)).toEqual(bytes(undisturbed));
      expect(broken).toBeGreaterThanOrEqual(1);
      const other = await owner(servers);
      // The prompt and some of the answer, but for what was on its way.
      expect(await other.metric("restored_tokens_total")).toBeGreaterThan(broken * (PROMPT_TOKENS - 64));
      await Promise.all(servers.splice(0).map((server) => server.stop()));
    });

    test("outlive it where each has a folder and a file of its own", { timeout: 90_000 }, async () => {
      const copies = (name: string): string => join(folder, `copies-${name}`);
      // As on other machines.
      const own = (name: string): string => {
        const file = join(folder, `of-${name}`, basename(setting.model));
        mkdirSync(dirname(file));
        copyFileSync(setting.model, file);
        return file;
      };
      const apart = (name: string) => ({ cluster: "apart", copies: copies(name), model: own(name) });
      await Promise.all(["three", "four"].map((name) => start(name, apart(name))));
      const holder = await owner(servers);
      const standby = servers.find((server) => server !== holder) as GatewayServer;
      const bodies = bodiesOf([4, 5, 6], 600);
      const pages = (name: string): number =>
        readdirSync(copies(name)).filter((file) => file.endsWith(".page")).length;
      expect(pages(standby.name)).toBe(0);
      // Nobody has computed any of it before. Four of each are last pages of a stream.
      const enough = bodies.length * (PROMPT_PAGES + 5);
      const [clients, broken] = await cut(bodies, () => pages(standby.name) >= enough);
      expect(broken).toBeGreaterThanOrEqual(1);
      expect(await owner(servers)).toBe(standby);
      // The prompts, and what of the answers was a moment old.
      expect(await standby.metric("restored_tokens_total")).toBeGreaterThan(broken * (PROMPT_TOKENS - 64));
      const undisturbed = read(bodies);
      await Promise.all(undisturbed.map(({ done }) => done));
      expect(bytes(clients)).toEqual(bytes(undisturbed));
    });
  },
);
