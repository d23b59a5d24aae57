/**
 * I/O: timers, chance, a channel. A server as a member of a cluster: while it holds the lease it plans for the living nodes, and
 * tells the engine's thread of this process what to run where.
 */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { BroadcastChannel } from "node:worker_threads";
import { ClawError } from "../../base/mod.ts";
import { ARITHMETIC_VERSION } from "../../kernels/mod.ts";
import {
  Agent,
  type Control,
  type MemberStatus,
  NO_DEGREES,
  NO_SLICES,
  type NodeRecord,
  type PlanOutcome,
  type PlanRecord,
  type PrescribedDegrees,
  TIMING_DEFAULT,
  type Timing,
} from "../membership/mod.ts";
import type { PagePeer } from "../pages/mod.ts";
import { type ModelCosts, type Plan, PlannerThread, predictPlan, rankNodes } from "../plan/mod.ts";
import { PROTOCOL_VERSION } from "../shards/mod.ts";
import type { HostedModel } from "../slices/mod.ts";
import { type CopyFolder, ExchangeThread } from "./exchange-thread.ts";
import { AVOID_MS, AVOID_MS_MAX } from "./limits.ts";
import { offersOf } from "./offers.ts";
import {
  type FromSource,
  type RankNode,
  type SourceOptions,
  sameWork,
  type ToSource,
  type Work,
} from "./work.ts";

export interface ServerOptions {
  readonly control: Control;
  readonly name: string;
  /** Of this process, 16 random hexadecimal digits. */
  readonly life: string;
  /** The address in numbers at which nodes reach this process. */
  readonly host: string;
  /** What nodes are linked with this process and each other by; undefined: TCP. */
  readonly driver?: "tcp" | "ucx" | undefined;
  /** That nodes are to run; undefined: none. */
  readonly model: { readonly root: string; readonly name: string } | undefined;
  /** Its file, of which nodes that lack it are given parts; undefined: of none. */
  readonly hosted?: HostedModel | undefined;
  /** Of pages: other servers are given them, and while another one holds the lease, that one's are kept here. Undefined: none. */
  readonly copies?: CopyFolder | undefined;
  /** What is planned for; undefined: the model runs in this process, and the nodes have nothing to do. */
  readonly costs: ModelCosts | undefined;
  readonly clock: () => number;
  readonly timing?: Timing | undefined;
  /** Told what the operator should know, in a sentence. */
  readonly onNote: (text: string) => void;
  /** Told after everything that may have changed the status. */
  readonly onStatus?: ((status: MemberStatus) => void) | undefined;
}

/** A node that could not be reached though it says that it lives. */
interface Avoided {
  readonly life: string;
  readonly until: number;
  readonly times: number;
}

/** What the engine's thread of such a server runs. */
export const sourceModule: string = new URL("./worker.ts", import.meta.url).href;

type MadePlan = PlanRecord & { readonly plan: Plan };

const IN_PROCESS = "The model runs in the server's own process.";

export class ClusterServer {
  readonly #options: ServerOptions;
  readonly #channel: BroadcastChannel;
  readonly #planner: PlannerThread | undefined;
  readonly #avoided = new Map<string, Avoided>();
  #source: SourceOptions;
  #agent: Agent | undefined;
  #exchange: ExchangeThread | undefined;
  #degrees: PrescribedDegrees = NO_DEGREES;
  #told: ToSource | undefined;
  /** Epoch and version of the plan that the engine's thread was told of. */
  #toldVersion = "";

  private constructor(options: ServerOptions) {
    const { name, host, driver = "tcp", model, control, costs } = options;
    const channel = `claw cluster ${randomUUID()}`;
    const opened = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    this.#options = options;
    this.#source = {
      channel,
      name,
      ...{ host, driver },
      secret: control.secret,
      root: model?.root ?? "",
      opened,
      slices: null,
    };
    this.#planner = costs && new PlannerThread();
    this.#channel = new BroadcastChannel(channel);
    this.#channel.onmessage = (event) => this.#heard((event as { readonly data: FromSource }).data);
    this.#channel.unref();
  }

  /** E_CONTROL, E_NODE where the name is another's. */
  static async join(options: ServerOptions): Promise<ClusterServer> {
    const server = new ClusterServer(options);
    try {
      await server.#beginExchange();
      server.#agent = await server.#member();
      await server.#joined();
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** For the engine's thread of this process. */
  get source(): SourceOptions {
    return this.#source;
  }

  status(): MemberStatus | undefined {
    return this.#agent?.status();
  }

  /** Whether this server may act for the cluster, and who holds the lease. */
  lease(): ReturnType<Agent["lease"]> | undefined {
    return this.#agent?.lease();
  }

  /** Has the engine's thread wait for no plan any more. */
  stopWaiting(): void {
    this.#say({ kind: "closing" });
  }

  /** Leaves. The engine's thread has ended, or ends. */
  async close(): Promise<void> {
    this.stopWaiting();
    await this.#agent?.leave();
    this.#channel.close();
    await this.#exchange?.close();
    await this.#planner?.close();
  }

  get #timing(): Timing {
    return this.#options.timing ?? TIMING_DEFAULT;
  }

  async #beginExchange(): Promise<void> {
    const { hosted: model, copies, host, name, control, onNote } = this.#options;
    if (model === undefined && copies === undefined) return;
    const task = { host, name, secret: control.secret, model, copies };
    this.#exchange = await ExchangeThread.start(task, {
      onNote,
      onHandedOut: (handedOut) => this.#agent?.count({ slices: { ...NO_SLICES, handedOut } }),
    });
    if (model !== undefined) this.#source = { ...this.#source, slices: this.#exchange.address };
  }

  #member(): Promise<Agent> {
    const { control, clock, name, life, model, onStatus } = this.#options;
    // It runs no ranks, so it has nothing to measure.
    const description = { name, memoryBytes: 0, formats: {}, kvBytesPerSecond: 1, layerSeconds: 0 };
    return Agent.start({
      ...{ ...control, clock, timing: this.#timing },
      self: {
        ...{
          life,
          role: "server",
          address: this.#exchange?.address ?? null,
          description,
          links: [],
          draining: false,
        },
        dialect: { protocol: PROTOCOL_VERSION, arithmetic: ARITHMETIC_VERSION },
        ...{ models: model === undefined ? [] : [model], work: { epoch: 0, ranks: [] }, refused: {} },
        ...{ fetches: false, slices: NO_SLICES },
      },
      plan: (records, done) => void this.#plan(records).then(done),
      onStatus: (status) => {
        this.#look(status);
        this.#exchange?.follow(this.#leader(status));
        onStatus?.(status);
      },
    });
  }

  /** Waits until its record is there. E_NODE, E_CONTROL. */
  async #joined(): Promise<void> {
    const { clock, name } = this.#options;
    const end = clock() + 10 * this.#timing.leaseMs;
    for (;;) {
      const self = this.status()?.self;
      if (self === "member") return;
      if (self === "taken" || self === "displaced") {
        throw new ClawError("E_NODE", `The name ${name} is taken by another process, which is alive.`);
      }
      if (clock() > end)
        throw new ClawError("E_CONTROL", "The control plane does not take this server's record.");
      await sleep(this.#timing.heartbeatMs / 4);
    }
  }

  async #plan(records: readonly NodeRecord[]): Promise<PlanOutcome> {
    const { costs, model } = this.#options;
    const degrees = this.#degrees;
    if (costs === undefined || model === undefined || this.#planner === undefined) {
      return { plan: null, problem: IN_PROCESS, degrees };
    }
    const dialect = { protocol: PROTOCOL_VERSION, arithmetic: ARITHMETIC_VERSION };
    const wanted = { root: model.root, dialect };
    const { cluster: description, excluded } = offersOf(this.#reachable(records), wanted);
    const reasons = Object.entries(excluded).map(([node, why]) => `${node}: ${why}`);
    const without = reasons.length === 0 ? "" : ` Left out: ${reasons.join("; ")}.`;
    if (description.nodes.length === 0) {
      return { plan: null, problem: `There is no node that can run the model.${without}`, degrees };
    }
    const { tensor, pipeline } = degrees;
    const constraints = {
      tensorParallelismDegree: tensor ?? undefined,
      pipelineParallelismDegree: pipeline ?? undefined,
    };
    const answer = await this.#planner.plan({ description, costs, constraints }, this.#inForce());
    if ("planned" in answer) return { plan: answer.planned.plan, problem: null, degrees };
    return { plan: null, problem: `${answer.problem}${without}`, degrees };
  }

  #inForce(): Plan | undefined {
    return this.status()?.state?.plan?.plan ?? undefined;
  }

  /** Without those that could not be reached a short while ago. */
  #reachable(records: readonly NodeRecord[]): NodeRecord[] {
    const now = this.#options.clock();
    return records.filter(({ description, life }) => {
      const avoided = this.#avoided.get(description.name);
      return avoided === undefined || avoided.life !== life || now >= avoided.until;
    });
  }

  #heard(message: FromSource): void {
    if (message.kind === "hello") {
      if (this.#told !== undefined) this.#channel.postMessage(this.#told);
    } else if (message.kind === "degrees") {
      if (isDeepStrictEqual(this.#degrees, message.degrees)) return;
      this.#degrees = message.degrees;
      this.#agent?.replan();
    } else {
      this.#avoid(message.node, message.life, message.why);
    }
  }

  /** Plans without a node for a while, the longer the more often it could not be reached. */
  #avoid(node: string, life: string, why: string): void {
    const { clock, onNote } = this.#options;
    const known = this.#avoided.get(node);
    const times = known?.life === life ? known.times + 1 : 0;
    const ms = Math.min(AVOID_MS_MAX, AVOID_MS * 2 ** times);
    this.#avoided.set(node, { life, until: clock() + ms, times });
    onNote(`Plans do without ${node} for ${Math.round(ms / 1000)} s: ${why}`);
    this.#agent?.replan();
    setTimeout(() => this.#agent?.replan(), ms + 1).unref();
  }

  /** Tells the engine's thread what there is to do, when that has changed. */
  #look(status: MemberStatus): void {
    const { state, active } = status;
    if (state === undefined) return;
    const { plan: record, holder, epoch } = state;
    if (!active) {
      const { name, life } = this.#options;
      if (holder.node === name && holder.life === life) return;
      const problem = `The server ${holder.node} holds the cluster's lease.`;
      this.#say({ kind: "idle", problem, degrees: undefined });
      return;
    }
    // The plan of another holder is not this one's to carry out.
    if (record === null || record.epoch !== epoch || `${epoch} ${record.version}` === this.#toldVersion)
      return;
    if (record.plan === null) {
      this.#say({ kind: "idle", problem: record.problem ?? "", degrees: record.degrees });
    } else {
      const work = this.#workOf({ ...record, plan: record.plan }, status);
      if (work === undefined) return;
      this.#say({ kind: "work", work });
    }
    this.#toldVersion = `${epoch} ${record.version}`;
  }

  /** Another server that holds the lease, and where it hands out pages. */
  #leader({ self, active, state, peers }: MemberStatus): PagePeer | undefined {
    const { name, life } = this.#options;
    const holder = state?.holder;
    if (self !== "member" || active || holder === undefined) return undefined;
    if (holder.node === name && holder.life === life) return undefined;
    const peer = peers.find(({ node, life: its }) => node === holder.node && its === holder.life);
    const address = peer?.record.role === "server" ? peer.record.address : null;
    return address === null ? undefined : { name: holder.node, address };
  }

  /** Undefined where a node of the plan is gone, or in another life: another plan is coming. */
  #workOf({ plan, nodes, degrees, epoch: holder }: MadePlan, { peers }: MemberStatus): Work | undefined {
    const { costs } = this.#options;
    const lives = new Map(nodes.map(({ node, life }) => [node, life]));
    const records = new Map(
      peers.flatMap(({ node, life, record }) => (lives.get(node) === life ? [[node, record]] : [])),
    );
    const ranks = rankNodes(plan).flatMap((name): RankNode[] => {
      const record = records.get(name);
      const able = record?.description.formats[plan.format] !== undefined;
      return able && record.address !== null ? [{ name, life: record.life, address: record.address }] : [];
    });
    if (costs === undefined || ranks.length < rankNodes(plan).length) return undefined;
    const descriptions = [...records.values()].map(({ description }) => description);
    const description = { nodes: descriptions, links: [] };
    const memory = predictPlan(plan, description, costs).ranks.map((rank) => {
      return { bytes: rank.memoryBytes, bytesMax: rank.memoryBytesMax };
    });
    return { holder, plan, degrees, nodes: ranks, memory };
  }

  #say(message: ToSource): void {
    const told = this.#told;
    const same =
      told?.kind === "work" && message.kind === "work"
        ? sameWork(told.work, message.work)
        : JSON.stringify(told) === JSON.stringify(message);
    if (same || told?.kind === "closing") return;
    this.#told = message;
    this.#channel.postMessage(message);
  }
}
