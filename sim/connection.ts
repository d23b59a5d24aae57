/** A simulated connection between a client and a server: what is said arrives in order, until it breaks, which may not be noticed. */

import type { ClawError } from "../src/base/mod.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { SimulatedProcess } from "./process.ts";

/** What a server says. */
export type Message =
  | { readonly kind: "event"; readonly text: string }
  /** All was said. */
  | { readonly kind: "end" }
  /** Nothing follows, or what was asked for is done. */
  | { readonly kind: "nothing" }
  | { readonly kind: "refused"; readonly error: ClawError };

export interface ConnectionListener {
  said(message: Message): void;
  /** It broke, and this was noticed. */
  broke(): void;
}

/** As many of the messages that the network loses break a connection: others are sent again. */
const BREAKING = 0.1;

export class Connection {
  readonly process: SimulatedProcess;
  readonly #cluster: SimulatedCluster;
  readonly #left = new AbortController();
  #listener: ConnectionListener | undefined;
  #broken = false;
  /** When what was said last arrives. */
  #arrival = 0;

  constructor(cluster: SimulatedCluster, process: SimulatedProcess, listener: ConnectionListener) {
    this.#cluster = cluster;
    this.process = process;
    this.#listener = listener;
  }

  /** Aborted when the server notices that the client is gone. */
  get left(): AbortSignal {
    return this.#left.signal;
  }

  /** Whether anything can still be said over it. */
  get open(): boolean {
    return !this.#broken && this.#listener !== undefined;
  }

  /** The server says something. */
  say(message: Message): void {
    const { random, schedule, loss, delayMs } = this.#cluster;
    if (random.chance(loss * BREAKING)) this.break();
    if (!this.open) return;
    this.#arrival = Math.max(this.#arrival, schedule.now + random.between(0.2, delayMs));
    schedule.after(this.#arrival - schedule.now, () => {
      // What does not come is missed by all that comes after it.
      if (this.process.partitioned) this.#broken = true;
      if (!this.#broken) this.#listener?.said(message);
    });
  }

  /** The client says no more, and hears no more. */
  leave(): void {
    this.#listener = undefined;
    this.#tellServer();
  }

  /** It breaks: each side may come to know of it. */
  break(): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#tellServer();
    this.#cluster.send(this.process, () => this.#listener?.broke());
  }

  #tellServer(): void {
    const { schedule } = this.#cluster;
    this.#cluster.send(this.process, () => {
      this.process.wake(() => {
        this.#left.abort();
        schedule.stir();
      });
    });
  }
}
