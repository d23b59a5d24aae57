/**
 * `npm run sim`: the cluster's membership, leases, epochs and plans from seeds, with faults, then healed; and the same with streams
 * and their clients. Prints what happened, and every seed in which something that must never happen did, or in which the healed
 * cluster did not come to rest.
 */

import { parseArgs } from "node:util";
import { type Counts, type Defect, SimulatedCluster } from "./cluster.ts";
import type { SimulatedProcess } from "./process.ts";
import { noStreams, type StreamCounts } from "./stream-counts.ts";
import { SimulatedStreams } from "./streams.ts";

/** Milliseconds of faults, and those in which a healed cluster has to be whole again. */
const FAULTS_MS = 15_000;
const HEALING_MS = 12_000;
/** How often the next holder of the lease is looked for that is to crash, and how long it then has. */
const LOOK_MS = 10;
const TAKING_MS = 120;
/** Checked this often: nobody may ever see a holder come and go once the cluster is whole. */
const REST_MS = 2000;

/** Streams that are asked for, until faults are nearly over. */
const CLIENTS_MIN = 4;
const CLIENTS_MAX = 12;
/** Records of tokens that are lost at once. */
const LOST_MAX = 20;

export interface SimulationOptions {
  /** Whether the servers have streams, and clients. */
  readonly streams?: boolean;
  readonly defect?: Defect | undefined;
}

interface Happened {
  readonly counts: Counts;
  readonly streams: StreamCounts;
}

export interface SimulationResult extends Happened {
  readonly seed: number;
  readonly violations: readonly string[];
}

/** One seed's run. */
export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationResult> {
  const cluster = new SimulatedCluster(seed, options.defect);
  const { random } = cluster;
  const streams = options.streams ? new SimulatedStreams(cluster) : undefined;
  const count = 1 + random.below(5);
  const names = Array.from({ length: count }, (_, index) => `n${index}`);
  for (const name of names) cluster.start(name);
  streams?.invite(CLIENTS_MIN + random.below(CLIENTS_MAX - CLIENTS_MIN), 0.9 * FAULTS_MS);
  await cluster.run(random.between(0, 3000));
  while (cluster.schedule.now < FAULTS_MS) {
    disturb(cluster, streams);
    await cluster.run(cluster.schedule.now + random.between(50, 1200));
  }
  heal(cluster, streams, names);
  await cluster.run(FAULTS_MS + HEALING_MS);
  const before = checkWhole(cluster, names);
  await cluster.run(FAULTS_MS + HEALING_MS + REST_MS);
  const after = checkWhole(cluster, names);
  if (before !== after) cluster.violation(`The holder changed at rest, from ${before} to ${after}.`);
  cluster.finish();
  streams?.finish();
  const { violations, counts } = cluster;
  return { seed, violations, counts, streams: streams?.counts ?? noStreams() };
}

type Fault = (cluster: SimulatedCluster, victim: SimulatedProcess) => void;
type StreamFault = (streams: SimulatedStreams, victim: SimulatedProcess) => void;

function crash(cluster: SimulatedCluster, victim: SimulatedProcess): void {
  if (victim.dead) return;
  cluster.kill(victim);
  cluster.schedule.after(cluster.random.between(50, 5000), () => cluster.start(victim.name));
}

/** Whoever holds the lease next crashes as it begins to. */
function crashNext(cluster: SimulatedCluster): void {
  const { random, schedule } = cluster;
  if (schedule.now >= FAULTS_MS) return;
  const holder = cluster.processes.find((process) => cluster.acting(process));
  if (holder === undefined) schedule.after(LOOK_MS, () => crashNext(cluster));
  else schedule.after(random.between(0, TAKING_MS), () => crash(cluster, holder));
}

const faults: Readonly<Record<string, Fault>> = {
  partition: (cluster, victim) => {
    victim.partitioned = true;
    victim.watching = false;
    cluster.schedule.after(cluster.random.between(100, 5000), () => {
      victim.partitioned = false;
    });
  },
  pause: (cluster, victim) => {
    victim.paused = true;
    cluster.schedule.after(cluster.random.between(50, 5000), () => victim.resume());
  },
  crash,
  "double crash": (cluster, victim) => {
    crash(cluster, victim);
    crashNext(cluster);
  },
  stop: (cluster, victim) => {
    cluster.stop(victim);
    cluster.schedule.after(cluster.random.between(1000, 5000), () => cluster.start(victim.name));
  },
  replace: (cluster, victim) => {
    victim.paused = true;
    cluster.start(victim.name);
    cluster.schedule.after(cluster.random.between(500, 6000), () => victim.resume());
  },
  "server crash": (cluster) => cluster.crashPlane(cluster.random.between(50, 4000)),
  loss: (cluster) => {
    cluster.loss = cluster.random.between(0, 0.3);
  },
  delay: (cluster) => {
    cluster.delayMs = cluster.random.chance(0.5) ? 5 : cluster.random.between(5, 600);
  },
  garbage: (cluster) => cluster.litter(),
  offer: (cluster, victim) => victim.offer(cluster.random.chance(0.5)),
};

const streamFaults: Readonly<Record<string, StreamFault>> = {
  "lost runtime": (streams, victim) => streams.loseRuntime(victim, streams.cluster.random.between(50, 2500)),
  "full journal": ({ cluster, records }) => {
    records.full = true;
    cluster.schedule.after(cluster.random.between(50, 2000), () => {
      records.full = false;
    });
  },
  "journal garbage": ({ records }) => records.litter(),
  "lost records": ({ cluster, records }) => {
    for (let rest = cluster.random.below(LOST_MAX); rest > 0; rest--) records.forget();
  },
};

function disturb(cluster: SimulatedCluster, streams: SimulatedStreams | undefined): void {
  const { random, counts } = cluster;
  const running = cluster.processes.filter((process) => process.running);
  // The holder is the one whose loss matters most.
  const holder = running.find((process) => cluster.acting(process));
  const victim = holder !== undefined && random.chance(0.6) ? holder : running[random.below(running.length)];
  if (victim === undefined) return;
  const kinds = Object.keys(streams === undefined ? faults : { ...faults, ...streamFaults });
  const kind = kinds[random.below(kinds.length)] ?? "";
  faults[kind]?.(cluster, victim);
  if (streams !== undefined) streamFaults[kind]?.(streams, victim);
  counts.faults[kind] = (counts.faults[kind] ?? 0) + 1;
}

/** Ends every fault; of every name one process lives in the end. */
function heal(
  cluster: SimulatedCluster,
  streams: SimulatedStreams | undefined,
  names: readonly string[],
): void {
  if (streams !== undefined) streams.records.full = false;
  cluster.loss = 0;
  cluster.delayMs = 5;
  cluster.plane.up = true;
  for (const process of cluster.processes) {
    process.partitioned = false;
    if (process.paused && !process.dead) process.resume();
  }
  for (const name of names) {
    const alive = cluster.processes.some((process) => process.name === name && !process.dead);
    if (!alive) cluster.start(name);
  }
  // Some time later, with nothing else going on: one more plan.
  cluster.schedule.after(HEALING_MS / 2, () => {
    for (const process of cluster.processes) if (process.running) process.offer(true);
  });
}

/** Checks that one holder acts, everybody knows it, and its plan is for exactly the nodes there are; the holder and epoch. */
function checkWhole(cluster: SimulatedCluster, names: readonly string[]): string {
  const members = cluster.processes.filter((process) => {
    return process.running && process.member.status(process.clock).self === "member";
  });
  const list = members.map(({ name, life }) => `${name} ${life}`).sort();
  const offers = members.map(({ name, life, edition }) => `${name} ${life} ${edition}`).sort();
  if (members.length !== names.length || new Set(members.map(({ name }) => name)).size !== names.length) {
    cluster.violation(`After healing the members are ${list.join(", ")}.`);
  }
  const acting = members.filter((process) => cluster.acting(process));
  if (acting.length !== 1) cluster.violation(`After healing ${acting.length} holders act.`);
  const { state } = cluster.plane;
  for (const { name, member } of members) {
    if (member.state?.epoch !== state?.epoch) cluster.violation(`${name} does not know the epoch.`);
  }
  const nodes = state?.plan?.nodes ?? [];
  const planned = nodes.map(({ node, life, edition }) => `${node} ${life} ${edition}`).sort();
  if (planned.join() !== offers.join()) {
    cluster.violation(`The plan is for ${planned.join(", ")}; the members are ${offers.join(", ")}.`);
  }
  for (const { name, member, clock } of members) {
    const ghosts = member.status(clock).peers.filter(({ node, life }) => !list.includes(`${node} ${life}`));
    if (ghosts.length > 0)
      cluster.violation(`${name} still sees ${ghosts.map(({ node }) => node).join(", ")}.`);
  }
  return `${state?.holder.node} ${state?.epoch}`;
}

/** Runs many seeds; sums of what happened. */
export async function simulateMany(
  { first, count }: { readonly first: number; readonly count: number },
  options: SimulationOptions = {},
): Promise<Happened & { readonly failed: readonly SimulationResult[] }> {
  const failed: SimulationResult[] = [];
  const { counts } = new SimulatedCluster(0, undefined);
  const streams = noStreams();
  for (let seed = first; seed < first + count; seed++) {
    const result = await simulate(seed, options);
    if (result.violations.length > 0) failed.push(result);
    addCounts(counts, result.counts);
    for (const name of Object.keys(streams) as (keyof StreamCounts)[]) streams[name] += result.streams[name];
  }
  return { counts, streams, failed };
}

function addCounts(sum: Counts, { faults: kinds, ...rest }: Counts): void {
  for (const [kind, count] of Object.entries(kinds)) sum.faults[kind] = (sum.faults[kind] ?? 0) + count;
  for (const [name, count] of Object.entries(rest)) sum[name as keyof typeof rest] += count;
}

/** Whether none failed. */
async function report(first: number, count: number, streams: boolean): Promise<boolean> {
  const started = performance.now();
  const { failed, ...happened } = await simulateMany({ first, count }, { streams });
  for (const { seed, violations } of failed) {
    console.log(`Seed ${seed}: ${violations.slice(0, 5).join(" ")}`);
  }
  console.log(JSON.stringify(streams ? happened : happened.counts));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const what = streams ? "with streams" : "without streams";
  console.log(`Seeds ${first} to ${first + count - 1} ${what}: ${failed.length} failed (${seconds} s).`);
  return failed.length === 0;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "300" },
      streams: { type: "string", default: "100" },
      first: { type: "string", default: "1" },
    },
  });
  const first = Number(values.first);
  const without = await report(first, Number(values.seeds), false);
  const withStreams = await report(first, Number(values.streams), true);
  process.exitCode = without && withStreams ? 0 : 1;
}

if (import.meta.main) await main();
