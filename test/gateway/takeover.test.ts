/** Servers that die, pause, or lose the control plane in the middle of streams, and others that go on with them. */

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFolder, makeTinyModel } from "../cli/claw.ts";
import { NatsServer, natsHere } from "../cluster/nats-server.ts";
import { bytesOf, comparable, readEvents, type SseEvent } from "../server/sse-client.ts";
import { GatewayServer, owner, writeSecret } from "./servers.ts";
import { StubbornClient } from "./stubborn-client.ts";

/** Rounds of each fault; `npm run test:crash` asks for more. */
const ROUNDS = Math.max(1, Math.round(Number(process.env["CLAW_CRASH_KILLS"] ?? 0) / 30));

const bodies = [
  { prompt: "Once", max_tokens: 300, seed: 1, ignore_eos: true },
  { prompt: "A cat", max_tokens: 300, seed: 2, ignore_eos: true, temperature: 0 },
  { prompt: "The end of all", max_tokens: 250, seed: 3, ignore_eos: true, logprobs: 2 },
  { prompt: "He said", max_tokens: 280, seed: 4, ignore_eos: true, frequency_penalty: 0.5, top_p: 0.9 },
  {
    prompt: "Two",
    max_tokens: 150,
    seed: 5,
    ignore_eos: true,
    n: 2,
    stream_options: { include_usage: true },
  },
].map((body) => ({ ...body, stream: true, openclaw: { resumable: true } }));

describe.skipIf(!natsHere)("streams outlive their server (needs nats-server)", () => {
  const folder = makeFolder();
  const nats = new NatsServer();
  const servers: GatewayServer[] = [];
  // Slow enough for streams to be in the middle when a lease ends.
  const flags = ["--device", "reference"];
  const tally = { faults: 0, cutOff: 0, restarts: 0, breaks: 0, gapsMs: [] as number[] };
  let model = "";
  let started = 0;
  let expected: string[] = [];

  const launch = async (): Promise<void> => {
    servers.push(await GatewayServer.start(`server-${started++}`, { folder, model, nats, flags }));
  };

  beforeAll(async () => {
    model = makeTinyModel(folder);
    writeSecret(folder);
    await nats.start();
    await launch();
    await launch();
    const { url } = await owner(servers);
    const answers = await Promise.all(
      bodies.map((body) => readEvents({ url: `${url}/v1/completions`, key: "none", method: "POST", body })),
    );
    expected = answers.map(sameForAll);
    expect(new Set(expected).size).toBe(bodies.length);
  });

  afterAll(async () => {
    await Promise.all(servers.map((server) => server.kill()));
    await nats.remove();
    const { gapsMs, ...counts } = tally;
    console.info(
      `takeover: ${JSON.stringify({ ...counts, gapsMs: gapsMs.map(Math.round).toSorted((a, b) => a - b) })}`,
    );
  });

  /** Streams that live, and what is done to their server when the first has so many events. */
  async function underFault(events: number, fault: (holder: GatewayServer) => Promise<void>): Promise<void> {
    const holder = await owner(servers);
    const urls = (): string[] => servers.map(({ url }) => url);
    const clients = bodies.map(
      (body) => new StubbornClient({ urls, body, patienceMs: 1500, deadlineMs: 25_000 }),
    );
    const all = Promise.all(clients.map(({ done }) => done));
    while ((clients[0]?.events.length ?? 0) < events) await Promise.race([sleep(1), all]);
    await fault(holder);
    await all;
    expect(clients.map(sameForAll)).toEqual(expected);
    const cutOff = clients.filter(({ trouble }) => trouble.breaks > 0);
    tally.cutOff += cutOff.length;
    for (const { trouble } of clients) {
      tally.breaks += trouble.breaks;
      tally.restarts += trouble.restarts;
    }
    tally.gapsMs.push(...cutOff.map(({ trouble }) => trouble.gapMs));
    // The first had something when its server failed; of the others some may not.
    expect(cutOff.length).toBeGreaterThanOrEqual(1);
    tally.faults++;
  }

  const random = (most: number): number => 1 + Math.floor(Math.random() * most);
  const withoutOne = (gone: GatewayServer): void => {
    servers.splice(servers.indexOf(gone), 1);
  };

  test(`the holder of the lease is killed, ${ROUNDS} times`, { timeout: ROUNDS * 60_000 }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await underFault(random(80), async (holder) => {
        await holder.kill();
        withoutOne(holder);
      });
      const [left] = servers;
      expect(await left?.metric("streams_taken_over_total")).toBeGreaterThanOrEqual(1);
      await launch();
    }
  });

  test("it is stopped, comes back late, and delivers nothing more", {
    timeout: ROUNDS * 60_000,
  }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await underFault(random(80), async (holder) => {
        const watcher = await watch(holder);
        holder.signal("SIGSTOP");
        await sleep(300);
        const had = watcher.text().length;
        const other = await owner(servers.filter((server) => server !== holder)).finally(() => {
          holder.signal("SIGCONT");
        });
        await watcher.ended;
        const late = watcher.text().slice(had);
        expect(late).not.toContain("id: ");
        expect(late).toContain("E_STANDBY");
        await until(async () => (await holder.health())?.status === "standby");
        expect(await holder.health()).toEqual({ status: "standby", holder: other.name });
        const refused = await fetch(`${holder.url}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ prompt: "Once" }),
        });
        expect(refused.status).toBe(503);
        expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
        expect(await refused.json()).toMatchObject({ error: { code: "E_STANDBY" } });
      });
    }
  });

  test("it is cut off from the control plane", { timeout: ROUNDS * 60_000 }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await underFault(random(80), async (holder) => {
        holder.wire.cut();
        await owner(servers.filter((server) => server !== holder));
        expect((await holder.health())?.status).toBe("standby");
        holder.wire.heal();
      });
    }
  });

  test("it is told to stop: it waits for no stream that another one goes on with", async () => {
    await underFault(random(80), async (holder) => {
      withoutOne(holder);
      expect(await holder.stop()).toBe(0);
      expect(holder.complaint).toContain("The lease is given up.");
      await launch();
    });
  });

  test("the control plane is killed and started again: whoever holds the lease then goes on", async () => {
    await underFault(random(80), async (holder) => {
      await nats.kill();
      await until(async () => (await holder.health())?.status === "standby");
      await nats.start();
    });
  });

  test("streams were cut off in the middle by every fault", () => {
    expect(tally.faults).toBe(3 * ROUNDS + 2);
    expect(tally.cutOff).toBeGreaterThanOrEqual(2 * tally.faults);
  });
});

/** What every server sends of a stream: with several answers, each by itself, since their order may differ. */
function sameForAll({ events }: { readonly events: readonly SseEvent[] }): string {
  const choiceOf = (data: string): string => /"index":(\d+)/.exec(data)?.[1] ?? "none";
  const choices = Map.groupBy(events, ({ data }) => choiceOf(data));
  if (choices.size <= 2) return comparable(bytesOf({ events }));
  const ordered = [...choices].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return comparable(ordered.map(([, own]) => own.map(({ data }) => data).join("\n")).join("\n\n"));
}

/** One more stream of a server, read as it comes, whatever comes. */
async function watch(server: GatewayServer): Promise<{ text: () => string; ended: Promise<void> }> {
  const body = {
    prompt: "Once",
    max_tokens: 1000,
    ignore_eos: true,
    stream: true,
    openclaw: { resumable: true },
  };
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  let text = "";
  const ended = (async () => {
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) text += part;
  })();
  return { text: () => text, ended };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await condition()) return;
    await sleep(20);
  }
  throw new Error(`Waited in vain for ${condition}.`);
}
