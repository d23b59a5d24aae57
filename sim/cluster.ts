/**
 * A cluster in simulated time: members of src/cluster over a network that loses, delays and reorders, on clocks that run
 * unlike, with processes that sleep and die. Everything follows from the seed.
 */

import {
  type Answer,
  type ClusterState,
  type Entry,
  modelCosts,
  NO_DEGREES,
  NO_SLICES,
  type NodeRecord,
  nodeKey,
  type PlanOutcome,
  planCluster,
  type Request,
  STATE_KEY,
  TIMING_DEFAULT,
} from "../src/cluster/mod.ts";
import { describePreset } from "../src/model/mod.ts";
import { ControlPlane } from "./control-plane.ts";
import { SimulatedProcess } from "./process.ts";
import { Random } from "./random.ts";
import { Schedule } from "./schedule.ts";

/** Defects planted on purpose: the checks have to notice each. */
export type Defect =
  /** The control plane takes every write. */
  | "blind-writes"
  /** Nodes take orders of any epoch. */
  | "no-fence"
  /** Who was named the holder acts until told otherwise, however long ago that was. */
  | "endless-lease"
  /** A server that goes on with a stream gives its engine one token too few, or one too many. */
  | "one-token-too-few"
  | "one-token-too-many"
  /** A server delivers until it is told that its lease is over, and its engine draws other tokens from when it is. */
  | "late-owner"
  /** A client that comes back is passed over one event too many, or one too few. */
  | "one-event-too-few"
  | "one-event-too-many"
  /** The journal says that it has a record some time before it does. */
  | "early-promise"
  /** Streams of others are taken out of the journal before they are in it again. */
  | "early-retirement";

/** What goes on in processes beside their membership. */
export interface Load {
  started(process: SimulatedProcess): void;
  /** The process may know something new. */
  looked(process: SimulatedProcess): void;
  /** It stops in order. */
  stopping(process: SimulatedProcess): void;
  died(process: SimulatedProcess): void;
}

export interface Counts {
  readonly faults: Record<string, number>;
  epochs: number;
  plans: number;
  refusedWrites: number;
  orders: number;
  refusedOrders: number;
  displaced: number;
  dropped: number;
}

const costs = modelCosts(describePreset("llama-tiny"), {
  ...{ rows: 1, context: 64, format: "i8", kvFormat: "f16" },
});
const timing = { ...TIMING_DEFAULT, forgetMs: 3000 };
const TICK_MS = 25;
const REQUEST_MS = 800;
const RECONNECT_MS = 300;
/** Orders between nodes may be on their way for longer than a lease. */
const ORDER_MS_MAX = 4000;

export class SimulatedCluster {
  readonly random: Random;
  readonly schedule: Schedule = new Schedule();
  readonly plane: ControlPlane;
  readonly processes: SimulatedProcess[] = [];
  readonly violations: string[] = [];
  readonly counts: Counts = {
    ...{
      faults: {},
      epochs: 0,
      plans: 0,
      refusedWrites: 0,
      orders: 0,
      refusedOrders: 0,
      displaced: 0,
      dropped: 0,
    },
  };
  load: Load | undefined;
  /** Of the network: how often a message is lost, and how long one takes at most. */
  loss = 0;
  delayMs = 5;
  readonly defect: Defect | undefined;
  /** Who believed to hold each epoch. */
  readonly #holders = new Map<number, string>();
  readonly #lastWatch = new Map<SimulatedProcess, number>();

  constructor(seed: number, defect: Defect | undefined) {
    this.random = new Random(seed);
    this.defect = defect;
    const blind = defect === "blind-writes";
    this.plane = new ControlPlane((problem) => this.violation(problem), { blind });
  }

  violation(problem: string): void {
    this.violations.push(`${this.schedule.now.toFixed(1)} ms: ${problem}`);
  }

  /** Starts a process under a name that others may have had before. */
  start(name: string): SimulatedProcess {
    const { random, schedule } = this;
    const speed = { bytesPerSecond: random.between(1e9, 1e11), multiplyAddsPerSecond: 1e12 };
    const description = {
      ...{ name, memoryBytes: 1e9, formats: { i8: speed }, kvBytesPerSecond: 1e10, layerSeconds: 1e-5 },
    };
    const self = {
      ...{ life: random.hex(16), role: roleOf(name), description, links: [], models: [], draining: false },
      ...{
        address: null,
        work: { epoch: 0, ranks: [] },
        refused: {},
        fetches: false,
        slices: NO_SLICES,
        dialect: { protocol: 1, arithmetic: 1 },
      },
    } as const;
    const process = new SimulatedProcess(schedule, random, { self, timing, plan: planFor });
    this.processes.push(process);
    this.load?.started(process);
    this.#connect(process);
    schedule.after(random.between(0, TICK_MS), () => this.#tick(process));
    return process;
  }

  /** Runs until then and checks after every event. */
  run(end: number): Promise<void> {
    return this.schedule.runUntil(end, () => this.#check());
  }

  kill(process: SimulatedProcess): void {
    process.dead = true;
    this.load?.died(process);
  }

  /** A process leaves the cluster, and ends a little later. */
  stop(process: SimulatedProcess): void {
    process.wake(() => {
      this.load?.stopping(process);
      process.member.leave();
    });
    this.schedule.after(this.random.between(100, 800), () => this.kill(process));
  }

  crashPlane(milliseconds: number): void {
    this.plane.up = false;
    for (const process of this.processes) process.watching = false;
    this.schedule.after(milliseconds, () => {
      this.plane.up = true;
    });
  }

  /** Something unreadable under some key. */
  litter(): void {
    const { random } = this;
    const name = this.processes[random.below(this.processes.length)]?.name ?? "";
    const key = [STATE_KEY, nodeKey(name), "node.ghost", "other"][random.below(4)] ?? STATE_KEY;
    const known = this.plane.entries.get(key)?.value;
    const bytes =
      known === undefined ? new Uint8Array(random.below(64)) : known.slice(0, random.below(known.length));
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    this.#publish(this.plane.put(key, bytes));
  }

  #tick(process: SimulatedProcess): void {
    if (process.dead) return;
    this.schedule.after(TICK_MS * this.random.between(0.8, 1.2), () => this.#tick(process));
    // A sleeping process gets one tick when it wakes up, not all it slept through.
    if (process.paused) return;
    for (const request of process.member.tick(process.clock)) this.#ask(process, request);
    this.load?.looked(process);
    if (this.acting(process) && this.random.chance(0.2)) this.#order(process);
  }

  /** Whether a process would act as the holder now. */
  acting(process: SimulatedProcess): boolean {
    if (!process.running) return false;
    if (this.defect === "endless-lease") return process.member.holds;
    return process.member.active(process.clock);
  }

  #ask(process: SimulatedProcess, request: Request): void {
    let answered = false;
    const answer = (given: Answer): void => {
      if (answered) return;
      answered = true;
      process.wake(() => {
        process.member.answered(process.clock, request, given);
        this.load?.looked(process);
      });
    };
    this.schedule.after(REQUEST_MS, () => answer({ kind: "lost" }));
    this.send(process, () => {
      if (!this.plane.up) return;
      const { answer: given, change } = this.plane.answer(request);
      if (change !== undefined) this.#publish(change);
      this.send(process, () => answer(given));
    });
  }

  /** Something from or to a process that arrives later or never. */
  send(process: SimulatedProcess, arrive: () => void): void {
    if (process.partitioned || this.random.chance(this.loss)) return;
    this.schedule.after(this.random.between(0.2, this.delayMs), () => {
      if (!process.partitioned) arrive();
    });
  }

  #publish(entry: Entry): void {
    for (const process of this.processes) if (process.watching) this.#show(process, entry);
  }

  /** Shows an entry, after those shown before; a connection that loses one breaks. */
  #show(process: SimulatedProcess, entry: Entry): void {
    if (process.partitioned || this.random.chance(this.loss)) {
      process.watching = false;
      return;
    }
    const due = this.schedule.now + this.random.between(0.2, this.delayMs);
    const at = Math.max(due, this.#lastWatch.get(process) ?? 0);
    this.#lastWatch.set(process, at);
    this.schedule.after(at - this.schedule.now, () => {
      process.wake(() => {
        process.member.saw(process.clock, entry);
        this.load?.looked(process);
      });
    });
  }

  #connect(process: SimulatedProcess): void {
    if (process.dead) return;
    this.schedule.after(RECONNECT_MS, () => this.#connect(process));
    if (process.watching || process.partitioned || !this.plane.up) return;
    process.watching = true;
    for (const entry of this.plane.entries.values()) if (process.watching) this.#show(process, entry);
  }

  /** The holder tells every process something; some of it arrives long after. */
  #order(process: SimulatedProcess): void {
    const epoch = process.member.state?.epoch ?? 0;
    for (const receiver of this.processes) {
      if (receiver.partitioned || process.partitioned) continue;
      const slow = this.random.chance(0.2);
      this.schedule.after(this.random.between(0.2, slow ? ORDER_MS_MAX : this.delayMs), () => {
        receiver.wake(() => this.#receive(receiver, epoch));
      });
    }
  }

  #receive(receiver: SimulatedProcess, epoch: number): void {
    const { newest } = receiver.fence;
    const taken = receiver.fence.admit(epoch) || this.defect === "no-fence";
    if (!taken) {
      this.counts.refusedOrders++;
      return;
    }
    this.counts.orders++;
    if (epoch < newest) this.violation(`${receiver.name} took an order of epoch ${epoch} after ${newest}.`);
  }

  #check(): void {
    const acting = this.processes.filter((process) => this.acting(process));
    if (acting.length > 1) {
      this.violation(`${acting.map(({ name }) => name).join(" and ")} act as holders at the same time.`);
    }
    for (const { member, name, life, running } of this.processes) {
      if (!running || !member.holds) continue;
      if (roleOf(name) === "node") this.violation(`${name} holds the lease, and is no server.`);
      const epoch = (member.state as ClusterState).epoch;
      const holder = this.#holders.get(epoch) ?? `${name} ${life}`;
      this.#holders.set(epoch, holder);
      if (holder !== `${name} ${life}`)
        this.violation(`${name} and ${holder} believe to hold epoch ${epoch}.`);
    }
  }

  finish(): void {
    const { counts, plane } = this;
    counts.epochs = this.#holders.size;
    counts.plans = plane.state?.plan?.version ?? 0;
    counts.refusedWrites = plane.refused;
    for (const process of this.processes) {
      const { self, dropped } = process.member.status(process.clock);
      if (self === "displaced") counts.displaced++;
      for (const count of Object.values(dropped)) counts.dropped += count;
    }
  }
}

/** A third of the names are of nodes, which run ranks and never hold the lease; the first is a server's. */
export function roleOf(name: string): "server" | "node" {
  return Number(name.slice(1)) % 3 === 2 ? "node" : "server";
}

function planFor(nodes: readonly NodeRecord[], done: (outcome: PlanOutcome) => void): void {
  const network = { latencySeconds: 1e-5, bytesPerSecond: 1e9 };
  const cluster = { nodes: nodes.map(({ description }) => description), links: [], network };
  done({ plan: planCluster(cluster, costs).plan, problem: null, degrees: NO_DEGREES });
}
