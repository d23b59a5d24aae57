/** I/O: timers. Lets a member live: tells it the time, carries its requests to the control plane and the answers back. */

import { ENDED, type LeaseStatus, Member, type MemberOptions, type MemberStatus } from "./member.ts";
import type { NodeCounts, NodeOffer } from "./records.ts";
import type { Answer, Request } from "./register.ts";
import type { ControlStore } from "./store.ts";

export interface AgentOptions extends MemberOptions {
  readonly store: ControlStore;
  /** Milliseconds on a clock that never goes back. */
  readonly clock: () => number;
  /** Told after everything that may have changed the status. */
  readonly onStatus?: (status: MemberStatus) => void;
}

/** How many times the member is told the time in a heartbeat. */
const TICKS_PER_HEARTBEAT = 8;

export class Agent {
  readonly #options: AgentOptions;
  readonly #member: Member;
  #timer: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;
  #closed = false;

  private constructor(options: AgentOptions) {
    this.#options = options;
    this.#member = new Member(options.clock(), options);
  }

  /** Joins. E_CONTROL where the control plane cannot be reached at all. */
  static async start(options: AgentOptions): Promise<Agent> {
    const agent = new Agent(options);
    agent.#unwatch = await options.store.watch((entry) => {
      if (agent.#closed) return;
      agent.#member.saw(options.clock(), entry);
      agent.#tell();
    });
    const period = options.timing.heartbeatMs / TICKS_PER_HEARTBEAT;
    agent.#timer = setInterval(() => agent.#tick(), period);
    agent.#tick();
    return agent;
  }

  status(): MemberStatus {
    return this.#member.status(this.#options.clock());
  }

  /** What is known of the lease alone: it may be asked for at every token. */
  lease(): LeaseStatus {
    return this.#member.lease(this.#options.clock());
  }

  /** Says something else of the node from the next heartbeat on. The edition of what it says now. */
  say(offer: Partial<NodeOffer>): number {
    return this.#member.say(offer);
  }

  /** Has a plan made at once, though everybody is as before. */
  replan(): void {
    this.#member.replan();
  }

  count(counts: Partial<NodeCounts>): void {
    this.#member.count(counts);
  }

  /** Takes the node's record away, as far as the control plane can be reached within the time of a lease, and stops. */
  async leave(): Promise<void> {
    const { clock, timing } = this.#options;
    this.#member.leave();
    const end = clock() + timing.leaseMs;
    const left = (): boolean => this.#closed || clock() > end || ENDED.has(this.status().self);
    while (!left())
      await new Promise((resolve) => setTimeout(resolve, timing.heartbeatMs / TICKS_PER_HEARTBEAT));
    this.stop();
  }

  /** Stops without a word, as a process that dies does; the store stays open. */
  stop(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#unwatch?.();
  }

  #tick(): void {
    for (const request of this.#member.tick(this.#options.clock())) void this.#ask(request);
    this.#tell();
  }

  async #ask(request: Request): Promise<void> {
    const answer = await this.#answer(request);
    if (this.#closed) return;
    this.#member.answered(this.#options.clock(), request, answer);
    this.#tell();
  }

  async #answer(request: Request): Promise<Answer> {
    const { store } = this.#options;
    try {
      if (request.kind === "write") return await store.write(request.write);
      return { kind: "entry", entry: await store.read(request.key) };
    } catch {
      // Whatever went wrong, it is not known what was done; the member reads before it writes again.
      return { kind: "lost" };
    }
  }

  #tell(): void {
    this.#options.onStatus?.(this.status());
  }
}
