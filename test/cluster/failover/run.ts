/**
 * I/O: `npm run test:failover`: servers whose ranks are processes, live streams, and kills and stops of ranks and of the server that
 * answers, for as long as one likes. Compares every stream with the run that nobody touched, and prints the gaps that clients saw
 * as JSON; on the standard error, what is going on.
 *
 *     npm run test:failover -- --kills 160 --owner-kills 40 --preset llama-1b [--model FILE] [--streams 8] [--prompt 1000]
 *         [--tokens 400] [--seconds 8] [--no-spare] [--partitions] [--seed 1] [--cache FOLDER] [--patience 1] [--stall 240] [-- FLAGS OF claw serve]
 *
 * `--kills`: of ranks, killed and stopped by turns. `--partitions`: and cut off, from the engine's process and from each other, in a
 * network of this run's own; ranks are then linked by TCP. For root on Linux, with `unshare` and `ip`. `--owner-kills`: of the server, killed, stopped and cut off from NATS by turns; then
 * there are two servers, and clients come back with Last-Event-ID. `--seconds`: about how long after everything goes on the next
 * one comes. `--cache`: where packed weights stay, so that the next run starts faster.
 */

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { synthesize } from "../../../src/model/mod.ts";
import { StubbornClient } from "../../gateway/stubborn-client.ts";
import { Random } from "../../kernels/random.ts";
import { bytesOf, comparable } from "../../server/sse-client.ts";
import { NatsServer } from "../nats-server.ts";
import { Fleet } from "./fleet.ts";
import { type Fault, gapOf, type Kind, LINKED_RANK_KINDS, OWNER_KINDS, RANK_KINDS, summary } from "./gaps.ts";
import { enterOwnNetwork } from "./own-network.ts";
import { holds, say, within } from "./progress.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: "string", default: "10" },
    "owner-kills": { type: "string", default: "0" },
    preset: { type: "string", default: "llama-1b" },
    model: { type: "string" },
    cache: { type: "string" },
    streams: { type: "string", default: "8" },
    prompt: { type: "string", default: "1000" },
    tokens: { type: "string", default: "400" },
    seconds: { type: "string", default: "8" },
    patience: { type: "string", default: "1" },
    stall: { type: "string", default: "240" },
    partitions: { type: "boolean", default: false },
    "no-spare": { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
  },
});

if (values.partitions) {
  try {
    enterOwnNetwork();
  } catch (error) {
    say(String(error));
    process.exit(1);
  }
}

const ownerKills = Number(values["owner-kills"]);
const streams = Number(values.streams);
const promptTokens = Number(values.prompt);
const tokens = Number(values.tokens);
const everyMs = Number(values.seconds) * 1000;
const stallS = Number(values.stall);
const random = new Random(Number(values.seed));

const folder = mkdtempSync(join(tmpdir(), "claw-failover-"));

function model(): string {
  if (values.model !== undefined) return values.model;
  const out = join(folder, `${values.preset}.gguf`);
  say(`${out} is made`);
  const { preset } = values;
  synthesize({ preset: preset as "llama-1b", type: "q8_0", outliers: false, seed: 1, out });
  return out;
}

/** Every kind as often as it is due, in an order of chance. */
function faultsDue(): Kind[] {
  const turns = (kinds: readonly Kind[], count: number): Kind[] =>
    Array.from({ length: count }, (_, i) => kinds[i % kinds.length] as Kind);
  const due = [
    ...turns(values.partitions ? LINKED_RANK_KINDS : RANK_KINDS, Number(values.kills)),
    ...turns(OWNER_KINDS, ownerKills),
  ];
  for (let i = due.length - 1; i > 0; i--) {
    const j = random.between(0, i);
    [due[i], due[j]] = [due[j] as Kind, due[i] as Kind];
  }
  return due;
}

function startRound(fleet: Fleet, name: string): StubbornClient[] {
  const prompt = (seed: number): number[] =>
    Array.from({ length: promptTokens }, (_, i) => (i * 31 + seed * 1009 + 7) % 500);
  return Array.from({ length: streams }, (_, seed) => {
    const request = { model: name, prompt: prompt(seed), max_tokens: tokens, seed, ignore_eos: true };
    const body = { ...request, stream: true, logprobs: 1, openclaw: { resumable: true } };
    const patience = { patienceMs: Number(values.patience) * 1000, firstPatienceMs: stallS * 1000 };
    return new StubbornClient({ urls: () => fleet.urls, body, ...patience, deadlineMs: 3_600_000 });
  });
}

const counts = (clients: readonly StubbornClient[]): string =>
  `events of each stream: ${clients.map(({ events }) => events.length).join(" ")}`;

/** Ends with an error where no stream moves for too long. */
async function watched(clients: readonly StubbornClient[], fleet: Fleet): Promise<void> {
  let [last, since, told] = [-1, performance.now(), performance.now()];
  let [done, failure] = [false, undefined as unknown];
  Promise.all(clients.map((client) => client.done)).then(
    () => {
      done = true;
    },
    (error) => {
      failure = error;
    },
  );
  while (!done) {
    await sleep(50);
    if (failure !== undefined) throw failure;
    const now = performance.now();
    const total = clients.reduce((sum, { events }) => sum + events.length, 0);
    if (total !== last) [last, since] = [total, now];
    if (now - told > 10_000) {
      say(counts(clients));
      told = now;
    }
    if (now - since < stallS * 1000) continue;
    const states = await Promise.all(fleet.servers.map(async (s) => `${s.name} is ${await s.health()}`));
    const troubles = clients.map(({ trouble }) => JSON.stringify(trouble)).join(" ");
    throw new Error(`No stream moved for ${stallS} s. ${counts(clients)}; ${states.join(", ")}; ${troubles}`);
  }
}

/** Waits until every stream has some events more than now. */
async function goOn(clients: readonly StubbornClient[], after: Kind): Promise<void> {
  const before = new Map(clients.map((client) => [client, client.events.length]));
  const moved = (client: StubbornClient): boolean =>
    client.complete || client.events.length > (before.get(client) ?? 0) + 3;
  await holds(stallS, `streams go on after: ${after}`, () => clients.every(moved));
  say("all go on");
}

/** Faults as long as all streams of the round run and some are due. */
async function torment(
  fleet: Fleet,
  clients: readonly StubbornClient[],
  { due, done }: { readonly due: Kind[]; readonly done: Fault[] },
): Promise<void> {
  const all = (enough: (client: StubbornClient) => boolean): boolean => clients.every(enough);
  const running = (): boolean => !clients.some(({ complete }) => complete);
  await holds(stallS, "all streams begin", () => all(({ events }) => events.length > 0));
  while (running() && due.length > 0) {
    await sleep(everyMs * (0.5 + random.between(0, 100) / 100));
    const kind = due[0] as Kind;
    if (!running()) return;
    const makeUp = await fleet.fault(kind, random.between(0, 1));
    if (makeUp === undefined) continue;
    const fault = { at: performance.now(), kind };
    say(`${kind}; ${counts(clients)}`);
    due.shift();
    done.push(fault);
    await goOn(clients, kind);
    await makeUp();
    // Who is cut off answers until its lease ends; another goes on then.
    if (kind === "owner cut off") await goOn(clients, kind);
    const gaps = clients.flatMap(({ times }) => gapOf(times, fault) ?? []);
    say(`gaps of ${gaps.map((gap) => gap.toFixed(2)).join(" ")} s; ${due.length} are due`);
  }
}

const bytes = ({ events }: StubbornClient): string => comparable(bytesOf({ events }));

async function counters(fleet: Fleet): Promise<object> {
  const names = ["rank_losses_total", "recoveries_total", "restored_tokens_total", "kv_pages_copied_total"];
  const sum = async (name: string): Promise<[string, number]> => {
    const each = await Promise.all(fleet.servers.map((server) => server.metric(name)));
    return [name, each.reduce((one, other) => one + other, 0)];
  };
  return Object.fromEntries(await Promise.all(names.map(sum)));
}

async function main(fleet: Fleet): Promise<number> {
  for (let i = 0; i < (ownerKills > 0 ? 2 : 1); i++) await fleet.launch();
  const name = (await fleet.owner()).model;
  const due = faultsDue();
  say("a round that nobody touches");
  const undisturbed = startRound(fleet, name);
  await watched(undisturbed, fleet);
  const expected = undisturbed.map(bytes);
  const gaps = new Map<Kind, number[]>();
  const hits = new Map<Kind, number>();
  let [rounds, different] = [0, 0];
  while (due.length > 0) {
    say(`round ${++rounds}; ${due.length} are due`);
    const clients = startRound(fleet, name);
    const done: Fault[] = [];
    const tormented = torment(fleet, clients, { due, done });
    tormented.catch(() => {});
    await Promise.race([watched(clients, fleet), tormented.then(() => new Promise<never>(() => {}))]);
    await within(stallS, { what: "the last fault is made up for" }, tormented);
    different += clients.filter((client, i) => bytes(client) !== expected[i]).length;
    for (const fault of done) {
      hits.set(fault.kind, 1 + (hits.get(fault.kind) ?? 0));
      const own = clients.flatMap(({ times }) => gapOf(times, fault) ?? []);
      gaps.set(fault.kind, [...(gaps.get(fault.kind) ?? []), ...own]);
    }
    say(`round ${rounds} is over; ${different} streams differ`);
  }
  const kinds = [...gaps].map(([kind, all]) => [kind, { faults: hits.get(kind), ...summary(all) }]);
  const report = {
    ...{ model: name, streams, promptTokens, tokens, rounds },
    faults: [...hits.values()].reduce((one, other) => one + other, 0),
    streamsDifferent: different,
    gapSeconds: summary([...gaps.values()].flat()),
    ...Object.fromEntries(kinds),
    ghosts: await fleet.ghosts(),
    ...(await counters(fleet)),
  };
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  return different === 0 ? 0 : 1;
}

const nats = new NatsServer();
if (ownerKills > 0) await nats.start();
const secretFile = join(folder, "secret");
writeFileSync(secretFile, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
const fleet = new Fleet({
  model: model(),
  folder,
  cache: values.cache ?? join(folder, "cache"),
  flags: [
    ...["--ranks-run-in", "processes", "--tensor-parallelism-degree", "2", "--context", "2048"],
    ...(values["no-spare"] ? [] : ["--ranks-spare"]),
    ...positionals,
  ],
  linked: values.partitions,
  cluster: ownerKills > 0 ? { nats: nats.address, secretFile } : undefined,
  onWords: (server, line) => {
    // Clients that look for who answers are told so by who does not.
    if (!line.includes('"E_STANDBY"')) say(`${server}: ${line}`);
  },
});
// Processes that were started do not outlive this one.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void fleet.close().finally(() => process.exit(1)));
}
try {
  process.exitCode = await main(fleet);
} catch (error) {
  say(String(error));
  process.exitCode = 1;
} finally {
  await fleet.close();
  await nats.remove();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
