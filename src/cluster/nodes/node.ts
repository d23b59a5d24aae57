/**
 * I/O: timers. A node of a cluster: a member that takes links from others, runs ranks for the holder of the lease, and
 * leaves when it is drained.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { asClawError, assert, ClawError } from "../../base/mod.ts";
import { toHex } from "../../crypto/mod.ts";
import { ARITHMETIC_VERSION, type LinkAddress } from "../../kernels/mod.ts";
import { type PeerLink, PeerListener } from "../link/mod.ts";
import {
  Agent,
  type ControlStore,
  type MemberStatus,
  NO_SLICES,
  TIMING_DEFAULT,
  type Timing,
} from "../membership/mod.ts";
import type { NodeDescription } from "../plan/mod.ts";
import { PROTOCOL_VERSION, type RankTerms } from "../shards/mod.ts";
import { DRAIN_LOOK_MS } from "./limits.ts";
import { echoMeasurement } from "./measure-link.ts";
import { type FetchSettings, type ModelOnNode, NodeSlices } from "./node-slices.ts";
import { type RankPlace, RankProcesses } from "./rank-processes.ts";
import {
  type Asker,
  type NodeRequest,
  receiveRequest,
  requestSettings,
  type StartRequest,
  sendAnswer,
} from "./request.ts";
import { Survey } from "./survey.ts";

export interface NodeOptions {
  readonly store: ControlStore;
  /** Of the cluster. */
  readonly secret: Uint8Array;
  readonly description: NodeDescription;
  readonly models: readonly ModelOnNode[];
  /** Undefined: it runs ranks of models alone that it has. */
  readonly fetch?: FetchSettings | undefined;
  /** Compute threads of each rank. */
  readonly threads: number;
  /** Where it listens, and others reach it; port 0: any that is free. */
  readonly listen: Pick<LinkAddress, "host" | "port">;
  /** Whether ranks may be linked by UCX, which does not encrypt; undefined: they may not. */
  readonly trustedNetwork?: boolean | undefined;
  /** Of this process, 16 random hexadecimal digits. */
  readonly life: string;
  /** What starts `claw`, before its arguments. */
  readonly command: readonly string[];
  readonly clock: () => number;
  readonly timing?: Timing | undefined;
  /** Told what the operator should know, in a sentence. */
  readonly onNote: (text: string) => void;
}

export class ClusterNode {
  readonly #options: NodeOptions;
  readonly #asker: Asker;
  readonly #ranks: RankProcesses;
  readonly #refused: Record<string, number> = {};
  readonly #slices: NodeSlices;
  readonly #listener: PeerListener;
  #agent: Agent | undefined;
  #survey: Survey | undefined;
  #leaving: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #measuring = false;

  private constructor(options: NodeOptions) {
    this.#options = options;
    this.#asker = { name: options.description.name, secret: options.secret };
    this.#ranks = new RankProcesses({
      command: options.command,
      onChange: (running) => {
        const epoch = Math.max(0, ...running.map((place) => place.epoch));
        this.#agent?.count({ work: { epoch, ranks: running.map(({ rank }) => rank) } });
        this.#slices.running(running);
      },
      onFetch: (place, progress) => this.#slices.fetching(place, progress),
    });
    this.#slices = new NodeSlices({
      ...{ self: options.description.name, models: options.models, fetch: options.fetch },
      onCounts: (slices) => this.#agent?.count({ slices }),
    });
    this.#listener = new PeerListener(
      { driver: "tcp", ...options.listen },
      {
        settings: () => requestSettings(this.#asker),
        onLink: (peer) => void this.#serve(peer),
        onRefused: (reason) => this.#refuse(reason),
      },
    );
  }

  /** Listens and joins. E_LINK where it cannot listen, E_CONTROL, E_NODE where the name is another's. */
  static async join(options: NodeOptions): Promise<ClusterNode> {
    const node = new ClusterNode(options);
    try {
      const agent = await node.#member();
      node.#agent = agent;
      await node.#joined();
      node.#survey = new Survey({
        agent,
        asker: node.#asker,
        clock: options.clock,
        onProblem: (name, { message }) =>
          options.onNote(`The link to ${name} cannot be measured yet: ${message}`),
      });
      return node;
    } catch (error) {
      await node.close();
      throw error;
    }
  }

  /** With the port that was free. */
  get address(): Pick<LinkAddress, "host" | "port"> {
    return this.#listener.address;
  }

  /** That run here. */
  get ranks(): readonly RankPlace[] {
    return this.#ranks.running;
  }

  status(): MemberStatus {
    assert(this.#agent !== undefined, "A node that has not joined has no status.");
    return this.#agent.status();
  }

  /** Resolves when it has left, because it was told to. E_NODE when another process took its name. */
  async run(): Promise<void> {
    for (;;) {
      const { self } = this.status();
      if (self === "displaced") throw this.#nameTaken("was taken over by another process");
      if (self === "left") return;
      await sleep(this.#timing.heartbeatMs);
    }
  }

  /** Takes no new ranks, waits until no plan needs it, then leaves. */
  drain(): Promise<void> {
    this.#leaving ??= this.#drain();
    return this.#leaving;
  }

  /** Ends its ranks and leaves at once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#survey?.close();
    await this.#listener.close();
    await this.#slices.close();
    await this.#ranks.close();
    await this.#agent?.leave();
  }

  get #timing(): Timing {
    return this.#options.timing ?? TIMING_DEFAULT;
  }

  #member(): Promise<Agent> {
    const { store, clock, secret, description, models, fetch, life } = this.#options;
    const { host, port } = this.#listener.address;
    return Agent.start({
      ...{ store, clock, secret, timing: this.#timing },
      self: {
        ...{ life, role: "node", address: { host, port }, description, links: [], draining: false },
        dialect: { protocol: PROTOCOL_VERSION, arithmetic: ARITHMETIC_VERSION },
        models: models.map(({ root, name }) => ({ root, name })),
        ...{ fetches: fetch !== undefined, work: { epoch: 0, ranks: [] }, refused: {}, slices: NO_SLICES },
      },
      plan: () => {}, // a node is not asked
      onStatus: ({ state }) => {
        if (state !== undefined) this.#ranks.fence(state.epoch);
      },
    });
  }

  /** Waits until its record is there. E_NODE, E_CONTROL. */
  async #joined(): Promise<void> {
    const { clock } = this.#options;
    const end = clock() + 10 * this.#timing.leaseMs;
    for (;;) {
      const { self } = this.status();
      if (self === "member") return;
      if (self === "taken" || self === "displaced") throw this.#nameTaken("is taken by another process");
      if (clock() > end)
        throw new ClawError("E_CONTROL", "The control plane does not take this node's record.");
      await sleep(this.#timing.heartbeatMs / 4);
    }
  }

  #nameTaken(how: string): ClawError {
    const { name } = this.#options.description;
    return new ClawError("E_NODE", `The name ${name} ${how}, which is alive.`);
  }

  #refuse(reason: ClawError): void {
    const { code, message } = reason;
    this.#refused[code] = (this.#refused[code] ?? 0) + 1;
    this.#agent?.count({ refused: { ...this.#refused } });
    this.#options.onNote(`Refused a link: ${message}`);
  }

  /** Does what a peer asks over its link until it says goodbye. */
  async #serve(peerLink: PeerLink): Promise<void> {
    const { link, peer } = peerLink;
    try {
      for (let request = await receiveRequest(link); request !== undefined; ) {
        const problem = await this.#attempt(request, peer);
        await sendAnswer(link, problem);
        if (request.kind === "time" && problem === undefined) await this.#echo(link);
        if (request.kind === "slices" && problem === undefined) {
          return await this.#slices.serve(peerLink, request.root);
        }
        request = await receiveRequest(link);
      }
    } catch (error) {
      this.#refuse(asClawError(error));
    } finally {
      await link.close();
    }
  }

  async #echo(link: PeerLink["link"]): Promise<void> {
    this.#measuring = true;
    try {
      await echoMeasurement(link);
    } finally {
      this.#measuring = false;
    }
  }

  /** Why it cannot be done; undefined: it is done. */
  async #attempt(request: NodeRequest, peer: string): Promise<ClawError | undefined> {
    try {
      if (request.kind === "start") this.#start(request, peer);
      else if (request.kind === "end") await this.#ranks.end(request.epoch, request.patienceMs);
      else if (request.kind === "slices") this.#slices.check(request.root);
      else if (request.kind === "pages") throw new ClawError("E_NODE", "A node keeps no copies of pages.");
      else if (request.kind === "drain") {
        this.#options.onNote(`Drained, as ${peer} asked.`);
        void this.drain();
      } else if (this.#measuring)
        throw new ClawError("E_NODE", "Another link of this node is being measured.");
      return undefined;
    } catch (error) {
      return asClawError(error);
    }
  }

  #start({ epoch, rank, root, engine, slices }: StartRequest, asker: string): void {
    const { models, description, secret, threads, trustedNetwork = false } = this.#options;
    if (engine.driver === "ucx" && !trustedNetwork) {
      const remedy = "Start it with --trusted-network, or the server with cluster.link tcp";
      throw new ClawError(
        "E_NODE",
        `The node ${description.name} is on no network declared trusted. ${remedy}.`,
      );
    }
    if (this.#leaving !== undefined) {
      throw new ClawError("E_NODE", `The node ${description.name} is drained and takes no ranks.`);
    }
    const model = models.find((held) => held.root === root);
    const fetch =
      model === undefined && slices !== null
        ? this.#slices.terms(root, { name: asker, address: slices }, this.status().peers)
        : undefined;
    if (model === undefined && fetch === undefined) {
      throw new ClawError("E_NODE", `The node ${description.name} does not have the model ${root}.`);
    }
    const { host } = this.#listener.address;
    const place = { host: description.name, addresses: [{ driver: engine.driver, host, port: 0 }] };
    const terms: RankTerms = {
      ...{ rank, epoch, engine, place, threads, model: model?.path, fetch },
      secret: toHex(secret),
    };
    this.#ranks.start({ epoch, rank }, JSON.stringify(terms));
  }

  async #drain(): Promise<void> {
    const edition = this.#agent?.say({ draining: true }) ?? 0;
    while (this.#needed(edition)) await sleep(DRAIN_LOOK_MS);
    await this.close();
  }

  /** Whether ranks run here, or a living holder's plan may still want some: one that was made before it heard of draining. */
  #needed(edition: number): boolean {
    if (this.#ranks.running.length > 0) return true;
    const { state, peers } = this.status();
    const { name } = this.#options.description;
    const holder = peers.find(({ node, alive }) => alive && node === state?.holder.node);
    if (holder === undefined || state === undefined) return false;
    const seen = state.plan?.nodes.find(({ node }) => node === name);
    const heard = seen?.life === this.#options.life && seen.edition >= edition;
    const stages = state.plan?.plan?.stages ?? [];
    return !heard || stages.some(({ ranks }) => ranks.some(({ node }) => node === name));
  }
}
