/** The holder of the lease whose engine has ended for good: its process lives, and another server goes on with its streams. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { claw, makeFolder, makeTinyModel } from "../cli/claw.ts";
import { keptWeights, residentWeights } from "../cli/damaged-weights.ts";
import { NatsServer, natsHere } from "../cluster/nats-server.ts";
import { bytesOf, comparable } from "../server/sse-client.ts";
import { GatewayServer, owner, writeSecret } from "./servers.ts";
import { StubbornClient } from "./stubborn-client.ts";

const able = natsHere && nativeAvailable() && process.platform === "linux";

describe.skipIf(!able)("an engine that ends (needs nats-server, the native core and /proc)", () => {
  const folder = makeFolder();
  const nats = new NatsServer();
  const servers: GatewayServer[] = [];

  afterAll(async () => {
    await Promise.all(servers.map((server) => server.kill()));
    await nats.remove();
  });

  test("has its server leave, and a standby goes on with the streams", { timeout: 90_000 }, async () => {
    writeSecret(folder);
    await nats.start();
    const cacheHome = join(folder, "cache");
    const flags = ["--scrub-bytes-per-second", "1073741824"];
    const setting = { folder, model: makeTinyModel(folder), nats, flags, cacheHome };
    servers.push(await GatewayServer.start("one", setting));
    const kept = await keptWeights(cacheHome);
    servers.push(await GatewayServer.start("two", setting));

    const bodies = Array.from({ length: 4 }, (_, seed) => {
      const request = { prompt: `Story ${seed}`, max_tokens: 900, seed, ignore_eos: true };
      return { ...request, stream: true, openclaw: { resumable: true } };
    });
    const urls = (): string[] => servers.map(({ url }) => url);
    const read = (body: object): StubbornClient =>
      new StubbornClient({ urls, body, patienceMs: 3000, deadlineMs: 40_000 });
    const bytes = (clients: readonly StubbornClient[]): string[] =>
      clients.map(({ events }) => comparable(bytesOf({ events })));
    const undisturbed = bodies.map(read);
    await Promise.all(undisturbed.map(({ done }) => done));

    const weights = new Map(servers.map((server) => [server, residentWeights(server.pid, kept)]));
    // One after the other of each, until one was cut off: short ones may all end before the damage is found.
    const clients: StubbornClient[][] = bodies.map(() => []);
    const wasCut = ({ trouble }: StubbornClient): boolean => trouble.breaks > 0;
    const all = Promise.all(
      bodies.map(async (body, i) => {
        do {
          const client = read(body);
          clients[i]?.push(client);
          await client.done;
        } while (!clients.flat().some(wasCut));
      }),
    );
    while (!clients.flat().some(({ events }) => events.length > 0)) await Promise.race([sleep(5), all]);
    // Only now: a busy machine may have moved the lease meanwhile, and who stands by cuts nobody off.
    const failing = await owner(servers);
    const own = weights.get(failing);
    expect(own?.places).toBeGreaterThanOrEqual(1);
    own?.damage();
    await all;

    for (const [i, of] of clients.entries()) {
      for (const each of bytes(of)) expect(each).toEqual(bytes(undisturbed)[i]);
    }
    const cut = clients.flat().filter(wasCut);
    expect(cut.length).toBeGreaterThanOrEqual(1);
    expect(Object.keys(Object.assign({}, ...cut.map(({ trouble }) => trouble.told)))).toContain("E_STANDBY");
    const other = await owner(servers);
    expect(other.name).not.toBe(failing.name);
    expect(await other.metric("streams_taken_over_total")).toBeGreaterThanOrEqual(cut.length);
    // It says why it does not answer, and is no member any more.
    expect((await failing.health())?.status).toBe("failed");
    expect(failing.complaint).toContain("E_WEIGHTS_DAMAGED");
    const control = ["--control", `nats://${nats.address}`, "--secret-file", join(folder, "secret")];
    const { stdout } = await claw(["cluster", "status", ...control, "--json"]);
    expect(stdout).toContain(`"${other.name}"`);
    expect(stdout).not.toContain(`"${failing.name}"`);
  });
});
