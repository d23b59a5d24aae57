/**
 * A node's part in the cluster, without I/O: it is told the time, what it saw and what came of its requests, and says what to
 * ask next. It keeps its own record alive, takes the lease when nobody renews it, and while it holds the lease makes the plan for
 * the nodes that live.
 *
 * Why at most one node acts at a time: the lease is one key that is written by compare-and-swap, each holder under an epoch of
 * its own. Its holder stops acting a lease's time after it sent the last renewal that was done; others begin to wait when they
 * see that renewal, which is later, and wait longer. A holder that slept through all of it finds its write refused.
 */

import { DROP_REASONS_MAX, RECORDS_MAX, STATE_BYTES_MAX, TAKEN_BEATS } from "./limits.ts";
import { Peer } from "./peer.ts";
import { RecordSeal } from "./record-seal.ts";
import {
  type ClusterState,
  CONTROL_VERSION,
  type Incarnation,
  kindOf,
  type NodeCounts,
  type NodeOffer,
  type NodeRecord,
  nodeKey,
  type PlannedNode,
  type PlanRecord,
  type Reading,
  readNodeRecord,
  readState,
  STATE_KEY,
  writeDocument,
} from "./records.ts";
import { type Answer, Register, type Request } from "./register.ts";
import type { Entry } from "./store.ts";
import { patienceMs, type Timing } from "./timing.ts";

export type PlanOutcome = Pick<PlanRecord, "plan" | "problem" | "degrees">;

export interface MemberOptions {
  /** Its own record at first; undefined: it only watches, under no name. */
  readonly self: Omit<NodeRecord, "version" | "beat" | "edition"> | undefined;
  readonly timing: Timing;
  /** Of the cluster; undefined in a single process. Records that were not written with it are dropped. */
  readonly secret?: Uint8Array | undefined;
  /**
   * Plans for nodes that live, in the order of their names, and says what came of it: at once or later. Only servers are asked.
   */
  readonly plan: (nodes: readonly NodeRecord[], done: (outcome: PlanOutcome) => void) => void;
}

/**
 * `waiting`: another process of the same name is there; `taken`: and it lives; `displaced`: one took over; `left`: it took its
 * record away.
 */
export type Standing =
  | "joining"
  | "waiting"
  | "taken"
  | "member"
  | "leaving"
  | "left"
  | "displaced"
  | "watching";

export interface PeerStatus {
  readonly node: string;
  readonly life: string;
  readonly alive: boolean;
  readonly suspicion: number;
  readonly record: NodeRecord;
}

export interface MemberStatus {
  readonly self: Standing;
  /** Whether it may act as the holder of the lease now. */
  readonly active: boolean;
  readonly state: ClusterState | undefined;
  readonly peers: readonly PeerStatus[];
  /** What was dropped unread, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** What a member knows of the lease. */
export interface LeaseStatus {
  /** Whether it may act as its holder now. */
  readonly active: boolean;
  /** Of the newest holder; undefined: none is known. */
  readonly epoch: number | undefined;
  /** The newest holder's name. */
  readonly holder: string | undefined;
}

/** In which there is nothing more to do. */
export const ENDED: ReadonlySet<Standing> = new Set(["left", "displaced"]);

/** The life of whoever only watches: none. */
const NOBODY: Incarnation = { node: "", life: "" };

export class Member {
  readonly #options: MemberOptions;
  readonly #seal: RecordSeal;
  /** What it says of itself. */
  #said: Omit<NodeRecord, "version" | "beat"> | undefined;
  readonly #own: Register;
  readonly #lease = new Register(STATE_KEY);
  readonly #peers = new Map<string, Peer>();
  readonly #dropped = new Map<string, number>();
  #standing: Standing = "joining";
  #beat = 0;
  #beatAt = Number.NEGATIVE_INFINITY;
  /** When the record under the own name was seen to change last, by whomever. */
  #ownAt: number;
  /** How often it was seen to change by another life, while this one waits. */
  #othersBeats = 0;
  #state: ClusterState | undefined;
  /** When the state was seen to change last. */
  #stateAt: number;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #leaseUntil = Number.NEGATIVE_INFINITY;
  #epochSeen = 0;
  /** The last plan that it saw: it outlives a state that cannot be read. */
  #plan: PlanRecord | null = null;
  #view = "";
  #viewAt = 0;
  /** The view that a plan is being made for, and the last one that was made. */
  #planning = "";
  #outcome: { readonly view: string; readonly outcome: PlanOutcome } | undefined;
  /** How often a plan was asked for, and the last of these that was answered by one. */
  #asked = 0;
  #answeredAsk = 0;
  /** States that were written, each with the last ask that its plan answers. */
  readonly #written = new Map<Request, number>();

  constructor(now: number, options: MemberOptions) {
    this.#options = options;
    this.#seal = new RecordSeal(options.secret);
    this.#said = options.self && { ...options.self, edition: 0 };
    if (this.#said === undefined) this.#standing = "watching";
    this.#own = new Register(nodeKey(this.#self.node));
    this.#ownAt = now;
    this.#stateAt = now;
  }

  get #self(): Incarnation {
    if (this.#said === undefined) return NOBODY;
    return { node: this.#said.description.name, life: this.#said.life };
  }

  /** Says something else of itself from the next heartbeat on; its name stays. The edition of what it says now. */
  say(offer: Partial<NodeOffer>): number {
    const said = this.#said;
    if (said === undefined) return 0;
    this.#said = { ...said, ...offer, edition: said.edition + 1 };
    return this.#said.edition;
  }

  count(counts: Partial<NodeCounts>): void {
    const said = this.#said;
    if (said !== undefined) this.#said = { ...said, ...counts };
  }

  /** Has a plan made at once, though everybody is as before: what planning goes by has changed. */
  replan(): void {
    this.#asked++;
  }

  /** Takes its record away and is no member any more: others need not wait until they miss it. */
  leave(): void {
    if (this.#standing !== "displaced" && this.#standing !== "left") this.#standing = "leaving";
  }

  /** The newest state that it saw. */
  get state(): ClusterState | undefined {
    return this.#state;
  }

  /** Whether the state names this life of this node as the holder of the lease; it may be long overtaken. */
  get holds(): boolean {
    return this.#state !== undefined && same(this.#state.holder, this.#self);
  }

  /** Whether it may act as the holder at this moment. */
  active(now: number): boolean {
    return this.holds && now < this.#leaseUntil && !ENDED.has(this.#standing);
  }

  lease(now: number): LeaseStatus {
    const { epoch, holder } = this.#state ?? {};
    return { active: this.active(now), epoch, holder: holder?.node };
  }

  /** What to ask now. */
  tick(now: number): Request[] {
    if (ENDED.has(this.#standing)) return [];
    return [this.#heartbeat(now), this.#leadership(now), ...this.#cleaning(now)].filter(
      (request) => request !== undefined,
    );
  }

  /** Takes notice of a change of the control plane. */
  saw(now: number, entry: Entry): void {
    const kind = kindOf(entry.key);
    if (kind === "unknown") this.#drop("has an unknown key");
    else if (kind === "state") this.#sawState(now, entry);
    else if (entry.key === this.#own.key) this.#sawOwn(now, entry);
    else this.#sawPeer(now, entry);
  }

  answered(now: number, request: Request, answer: Answer): void {
    const key = request.kind === "write" ? request.write.key : request.key;
    const ask = this.#written.get(request);
    this.#written.delete(request);
    const register =
      key === STATE_KEY ? this.#lease : key === this.#own.key ? this.#own : this.#peers.get(key)?.register;
    if (register?.ended(request, answer) !== true) return;
    if (answer.kind === "entry" && answer.entry !== undefined) this.saw(now, answer.entry);
    if (answer.kind === "entry" && answer.entry === undefined && key === STATE_KEY) this.#state = undefined;
    if (answer.kind !== "done" || request.kind !== "write") return;
    const { value } = request.write;
    if (key === this.#own.key && value === undefined) this.#standing = "left";
    if (ask !== undefined) {
      this.#leaseUntil = request.sentAt + this.#options.timing.leaseMs;
      this.#answeredAsk = Math.max(this.#answeredAsk, ask);
    }
    this.saw(now, { key, value, revision: answer.revision });
  }

  status(now: number): MemberStatus {
    const peers = [...this.#peers.values()].map((peer) => {
      const { record } = peer;
      const { life, description } = record;
      return { node: description.name, life, alive: peer.alive(now), suspicion: peer.suspicion(now), record };
    });
    return {
      self: this.#standing,
      active: this.active(now),
      state: this.#state,
      peers: peers.sort((a, b) => (a.node < b.node ? -1 : 1)),
      dropped: Object.fromEntries(this.#dropped),
    };
  }

  #heartbeat(now: number): Request | undefined {
    const own = this.#own;
    const said = this.#said;
    if (said === undefined || own.busy) return undefined;
    if (own.stale) return own.read(now);
    if (this.#standing === "leaving") {
      if (!own.absent) return own.write(now, undefined);
      this.#standing = "left";
      return undefined;
    }
    const { timing } = this.#options;
    const waits = this.#standing === "waiting" || this.#standing === "taken";
    if (waits && now - this.#ownAt <= patienceMs(timing)) return undefined;
    if (now - this.#beatAt < timing.heartbeatMs) return undefined;
    this.#beatAt = now;
    return this.#write(own, now, { version: CONTROL_VERSION, ...said, beat: ++this.#beat });
  }

  #write(register: Register, now: number, document: NodeRecord | ClusterState): Request {
    return register.write(now, this.#seal.seal(register.key, writeDocument(document)));
  }

  #leadership(now: number): Request | undefined {
    const lease = this.#lease;
    if (lease.busy || this.#standing !== "member" || this.#said?.role !== "server") return undefined;
    if (lease.stale) return lease.read(now);
    const { timing } = this.#options;
    // Watched before it holds the lease, too, so that a new holder plans at once.
    const living = this.#living(now);
    if (this.holds) {
      const plan = this.active(now) ? this.#newPlan(now, living) : undefined;
      if (plan === undefined && now - this.#renewedAt < timing.heartbeatMs) return undefined;
      return this.#writeState(now, plan);
    }
    const vacant = now - this.#stateAt > patienceMs(timing);
    return vacant ? this.#writeState(now, undefined) : undefined;
  }

  /** Renews the lease, or takes it under a new epoch. */
  #writeState(now: number, plan: PlanRecord | undefined): Request {
    const { holds } = this;
    const known = this.#state;
    // Where the last state cannot be read: every epoch took a revision, so none was higher than this one's.
    const last = Math.max(this.#epochSeen, known === undefined ? this.#lease.revision : 0);
    const state: ClusterState = {
      version: CONTROL_VERSION,
      epoch: holds && known !== undefined ? known.epoch : last + 1,
      holder: this.#self,
      beat: holds && known !== undefined ? known.beat + 1 : 0,
      plan: plan ?? this.#plan,
    };
    this.#renewedAt = now;
    const request = this.#write(this.#lease, now, state);
    this.#written.set(request, plan === undefined ? 0 : this.#asked);
    return request;
  }

  /** Those that live now, itself among them, by name, and since when they and their offers have been the same. */
  #living(now: number): NodeRecord[] {
    const said = this.#said;
    const living = [...this.#peers.values()].filter((peer) => peer.alive(now)).map(({ record }) => record);
    if (said !== undefined) living.push({ version: CONTROL_VERSION, ...said, beat: this.#beat });
    living.sort((a, b) => (a.description.name < b.description.name ? -1 : 1));
    const view = describe(plannedNodes(living));
    if (view !== this.#view) {
      this.#view = view;
      this.#viewAt = now;
    }
    return living;
  }

  /**
   * A plan for those that live, when they or their offers are others than the last one was made for, and have been for a while;
   * and the first one of every holder, since another may have planned for another model.
   */
  #newPlan(now: number, living: readonly NodeRecord[]): PlanRecord | undefined {
    const last = this.#plan;
    const epoch = this.#state?.epoch ?? 0;
    if (this.#asked === this.#answeredAsk) {
      if (last !== null && last.epoch === epoch && describe(last.nodes) === this.#view) return undefined;
      const settled = now - this.#viewAt >= this.#options.timing.settleMs;
      // Where a node of the plan is gone there is nothing to wait for.
      if (!settled && !lacks(living, last)) return undefined;
    }
    const view = `${epoch}, ${this.#asked}: ${this.#view}`;
    if (this.#planning !== view) {
      this.#planning = view;
      this.#options.plan(living, (outcome) => {
        this.#outcome = { view, outcome };
      });
    }
    if (this.#outcome?.view !== view) return undefined;
    const nodes = plannedNodes(living);
    return { version: (last?.version ?? 0) + 1, epoch, nodes, ...this.#outcome.outcome };
  }

  /** Removes what dead nodes left. */
  #cleaning(now: number): Request[] {
    if (!this.active(now)) return [];
    const forgotten = [...this.#peers.values()].filter((peer) => peer.forgotten(now) && !peer.register.busy);
    return forgotten.map(({ register }) => register.write(now, undefined));
  }

  #sawState(now: number, entry: Entry): void {
    if (!this.#lease.saw(entry)) return;
    // Also of what cannot be read: it may hide a renewal that was not seen.
    this.#stateAt = now;
    const state = this.#read(entry, readState);
    if (state === undefined) {
      // Nothing that can be renewed: whoever waited long enough overwrites it.
      this.#state = undefined;
    } else if (state.epoch < this.#epochSeen) {
      this.#drop("is of an older epoch");
      this.#state = undefined;
    } else {
      this.#state = state;
      this.#epochSeen = state.epoch;
      this.#plan = state.plan ?? this.#plan;
    }
  }

  #sawOwn(now: number, entry: Entry): void {
    if (!this.#own.saw(entry)) return;
    this.#ownAt = now;
    const record = this.#read(entry, readNodeRecord);
    if (ENDED.has(this.#standing)) return;
    const own = record?.life === this.#self.life;
    // Also where another one has the name: that record is not its to take away.
    if (this.#standing === "leaving") this.#standing = own ? "leaving" : "left";
    else if (own) this.#standing = "member";
    else if (record === undefined) return;
    else if (this.#standing === "member") this.#standing = "displaced";
    else this.#standing = ++this.#othersBeats > TAKEN_BEATS ? "taken" : "waiting";
  }

  #sawPeer(now: number, entry: Entry): void {
    const known = this.#peers.get(entry.key);
    if (known !== undefined && !known.register.saw(entry)) return;
    if (entry.value === undefined) {
      this.#peers.delete(entry.key);
      return;
    }
    const record = this.#read(entry, readNodeRecord);
    if (record === undefined) return;
    if (known !== undefined) {
      known.beat(now, record);
      return;
    }
    if (this.#peers.size >= RECORDS_MAX) {
      this.#drop("is one record too many");
      return;
    }
    const register = new Register(entry.key);
    register.saw(entry);
    this.#peers.set(entry.key, new Peer(register, record, { now, timing: this.#options.timing }));
  }

  #read<T>({ key, value }: Entry, reader: (bytes: Uint8Array, key: string) => Reading<T>): T | undefined {
    if (value === undefined) return undefined;
    const text = value.length > STATE_BYTES_MAX ? value : this.#seal.open(key, value);
    const reading = text === undefined ? { problem: "was written by no member" } : reader(text, key);
    if ("value" in reading) return reading.value;
    this.#drop(reading.problem);
    return undefined;
  }

  #drop(reason: string): void {
    const known = this.#dropped.has(reason) || this.#dropped.size < DROP_REASONS_MAX;
    const counted = known ? reason : "other";
    this.#dropped.set(counted, (this.#dropped.get(counted) ?? 0) + 1);
  }
}

function same(a: Incarnation, b: Incarnation): boolean {
  return a.node === b.node && a.life === b.life;
}

/** Whether a node that a plan gives something to do is not among the living, or in another life. */
function lacks(living: readonly NodeRecord[], last: PlanRecord | null): boolean {
  const lives = new Map(living.map(({ description, life }) => [description.name, life]));
  const planned = new Map(last?.nodes.map(({ node, life }) => [node, life]));
  const needed = last?.plan?.stages.flatMap(({ ranks }) => ranks.map(({ node }) => node)) ?? [];
  return needed.some((node) => lives.get(node) !== planned.get(node));
}

function plannedNodes(records: readonly NodeRecord[]): PlannedNode[] {
  return records.map(({ description, life, edition }) => ({ node: description.name, life, edition }));
}

function describe(nodes: readonly PlannedNode[]): string {
  return nodes.map(({ node, life, edition }) => `${node} ${life} ${edition}`).join(", ");
}
