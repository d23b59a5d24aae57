/**
 * A node's part in the cluster, without I/O: it is told the time, what it saw and what came of its requests, and says what to
 * ask next. It keeps its own record alive, takes the lease when nobody renews it, and while it holds the lease makes the plan for
 * the nodes that live.
 *
 * Why at most one node acts at a time: the lease is one key that is written by compare-and-swap, each holder under an epoch of
 * its own. Its holder stops acting a lease's time after it sent the last renewal that was done; others begin to wait when they
 * see that renewal, which is later, and wait longer. A holder that slept through all of it finds its write refused.
 */

import { DROP_REASONS_MAX, RECORDS_MAX } from "./limits.ts";
import { Peer } from "./peer.ts";
import {
  type ClusterState,
  type Incarnation,
  kindOf,
  type NodeRecord,
  nodeKey,
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

export type PlanOutcome = Pick<PlanRecord, "plan" | "problem">;

export interface MemberOptions {
  /** Its own record, but for the beat. */
  readonly self: Omit<NodeRecord, "version" | "beat">;
  readonly timing: Timing;
  /** Plans for nodes that live, in the order of their names. */
  readonly plan: (nodes: readonly NodeRecord[]) => PlanOutcome;
}

export interface PeerStatus {
  readonly node: string;
  readonly life: string;
  readonly alive: boolean;
  readonly suspicion: number;
}

export interface MemberStatus {
  /** `waiting`: another process of the same name is there; `displaced`: one took over. */
  readonly self: "joining" | "waiting" | "member" | "displaced";
  /** Whether it may act as the holder of the lease now. */
  readonly active: boolean;
  readonly state: ClusterState | undefined;
  readonly peers: readonly PeerStatus[];
  /** What was dropped unread, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

export class Member {
  readonly #options: MemberOptions;
  readonly #own: Register;
  readonly #lease = new Register(STATE_KEY);
  readonly #peers = new Map<string, Peer>();
  readonly #dropped = new Map<string, number>();
  #standing: MemberStatus["self"] = "joining";
  #beat = 0;
  #beatAt = Number.NEGATIVE_INFINITY;
  /** When the record under the own name was seen to change last, by whomever. */
  #ownAt: number;
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
  readonly #written = new Map<Request, ClusterState>();

  constructor(now: number, options: MemberOptions) {
    this.#options = options;
    this.#own = new Register(nodeKey(this.#name));
    this.#ownAt = now;
    this.#stateAt = now;
  }

  get #name(): string {
    return this.#options.self.description.name;
  }

  get #self(): Incarnation {
    return { node: this.#name, life: this.#options.self.life };
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
    return this.holds && now < this.#leaseUntil && this.#standing !== "displaced";
  }

  /** What to ask now. */
  tick(now: number): Request[] {
    if (this.#standing === "displaced") return [];
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
    const state = this.#written.get(request);
    this.#written.delete(request);
    const register =
      key === STATE_KEY ? this.#lease : key === this.#own.key ? this.#own : this.#peers.get(key)?.register;
    if (register?.ended(request, answer) !== true) return;
    if (answer.kind === "entry" && answer.entry !== undefined) this.saw(now, answer.entry);
    if (answer.kind === "entry" && answer.entry === undefined && key === STATE_KEY) this.#state = undefined;
    if (answer.kind !== "done" || request.kind !== "write") return;
    const { value } = request.write;
    if (state !== undefined) this.#leaseUntil = request.sentAt + this.#options.timing.leaseMs;
    this.saw(now, { key, value, revision: answer.revision });
  }

  status(now: number): MemberStatus {
    const peers = [...this.#peers.values()].map((peer) => {
      const { life, description } = peer.record;
      return { node: description.name, life, alive: peer.alive(now), suspicion: peer.suspicion(now) };
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
    if (own.busy) return undefined;
    if (own.stale) return own.read(now);
    const { timing, self } = this.#options;
    if (this.#standing === "waiting" && now - this.#ownAt <= patienceMs(timing)) return undefined;
    if (now - this.#beatAt < timing.heartbeatMs) return undefined;
    this.#beatAt = now;
    return own.write(now, writeDocument({ version: 1, ...self, beat: ++this.#beat }));
  }

  #leadership(now: number): Request | undefined {
    const lease = this.#lease;
    if (lease.busy || this.#standing !== "member") return undefined;
    if (lease.stale) return lease.read(now);
    const { timing } = this.#options;
    if (this.holds) {
      const plan = this.active(now) ? this.#newPlan(now) : undefined;
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
      version: 1,
      epoch: holds && known !== undefined ? known.epoch : last + 1,
      holder: this.#self,
      beat: holds && known !== undefined ? known.beat + 1 : 0,
      plan: plan ?? this.#plan,
    };
    this.#renewedAt = now;
    const request = this.#lease.write(now, writeDocument(state));
    this.#written.set(request, state);
    return request;
  }

  /** A plan for those that live, when they are others than those the last one was made for, and have been for a while. */
  #newPlan(now: number): PlanRecord | undefined {
    const { self, timing } = this.#options;
    const living = [...this.#peers.values()].filter((peer) => peer.alive(now)).map(({ record }) => record);
    const records = [...living, { version: 1 as const, ...self, beat: this.#beat }];
    records.sort((a, b) => (a.description.name < b.description.name ? -1 : 1));
    const nodes = records.map(({ description, life }) => ({ node: description.name, life }));
    const view = describe(nodes);
    if (view !== this.#view) {
      this.#view = view;
      this.#viewAt = now;
    }
    const last = this.#plan;
    if (last !== null && describe(last.nodes) === view) return undefined;
    if (now - this.#viewAt < timing.settleMs) return undefined;
    return { version: (last?.version ?? 0) + 1, nodes, ...this.#options.plan(records) };
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
    if (record === undefined) return;
    if (this.#standing === "displaced") return;
    if (record.life === this.#options.self.life) this.#standing = "member";
    else this.#standing = this.#standing === "member" ? "displaced" : "waiting";
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
    const reading = reader(value, key);
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

function describe(nodes: readonly Incarnation[]): string {
  return nodes.map(({ node, life }) => `${node} ${life}`).join(", ");
}
