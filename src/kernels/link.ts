/**
 * Links on the native core: messages between two nodes, out of memory and into it. Within a step the compute threads move them
 * (native/link/link.h); here are their beginning, their end, and the messages of a handshake.
 */

import { assert } from "../base/mod.ts";
import { type LinkTimes, loadAddon, type NativeListener } from "./addon.ts";
import type { NativeLink } from "./contract.ts";
import { translate, translated } from "./native-error.ts";

/** Shared memory on one host; between hosts TCP, or UCX where the network is trusted: it does not encrypt. */
export type LinkDriver = "shared" | "tcp" | "ucx";

export interface LinkAddress {
  readonly driver: LinkDriver;
  /** An address in numbers; for `shared` the path of a socket, at most 107 bytes. */
  readonly host: string;
  /** 0: any that is free. `shared` has none. */
  readonly port: number;
}

/** How a thread waits for the peer: it spins, then sleeps. */
export interface Patience {
  readonly spinMicros: number;
  readonly limitMs: number;
}

/** What peers agree on in their handshake. */
export interface LinkTerms {
  readonly epoch: number;
  /** At most LINK_MESSAGE_BYTES_MAX. */
  readonly messageBytesMax: number;
  /** The keys to seal and to open frames with, 32 bytes each one after the other; empty where the driver stays on the host. */
  readonly keys: Uint8Array;
}

export interface RoundPlan extends Patience {
  readonly bytes: number;
  readonly rounds: number;
  /** One side echoes what the other sends. */
  readonly echo: boolean;
}

/** `kMessageBytesMax` and `kHelloBytesMax` of native/link/frame.h. */
export const LINK_MESSAGE_BYTES_MAX: number = 64 * 1024 * 1024;
export const LINK_HELLO_BYTES_MAX = 1024;
/** `kFrameVersion` there. */
export const LINK_FRAME_VERSION = 1;

/** Why a link was closed, of `Drop` there: as agreed, or since the handshake failed. */
const DROP = { closed: 1, handshake: 12 } as const;

const driverNumber = { shared: 0, tcp: 1, ucx: 2 } as const;

/**
 * A connection to another node. One call at a time moves messages. Errors of all: E_LINK where the peer ended or time passed in
 * the middle of a message, E_LINK_PEER where it broke the rules, E_DEADLINE where time passed before one.
 */
export class Link {
  readonly driver: LinkDriver;
  /** For the executor. */
  readonly native: NativeLink;
  /** Whether both ends are on this host. */
  readonly #local: boolean;
  #running: Promise<unknown> = Promise.resolve();

  constructor(driver: LinkDriver, native: NativeLink, host = "") {
    this.driver = driver;
    this.native = native;
    this.#local = /^(?:127\.|::1$)/.test(host);
  }

  /** Ends the handshake: later messages are data. */
  open({ epoch, messageBytesMax, keys }: LinkTerms): void {
    translated(() => loadAddon().openLink(this.native, epoch, messageBytesMax, keys));
  }

  /**
   * A link of the driver `ucx` begins over TCP. When it is open and the peer has proved itself, both sides leave that for UCX. E_LINK
   * where one of them has none.
   */
  async change({ spinMicros, limitMs }: Patience): Promise<void> {
    await this.#run(() => loadAddon().changeLink(this.native, Number(this.#local), spinMicros, limitMs));
  }

  async send(message: Uint8Array, patience: Patience): Promise<void> {
    await this.exchange(message, undefined, patience);
  }

  /** Resolves to the bytes of the message, which are at the beginning of `into`. */
  receive(into: Uint8Array, patience: Patience): Promise<number> {
    return this.exchange(undefined, into, patience);
  }

  /** Sends and receives at the same time; resolves to the bytes received. */
  exchange(
    message: Uint8Array | undefined,
    into: Uint8Array | undefined,
    { spinMicros, limitMs }: Patience,
  ): Promise<number> {
    return this.#run(() => loadAddon().exchangeLink(this.native, message, into, spinMicros, limitMs));
  }

  /** Times rounds of messages, with the same plan on both sides. */
  time({ bytes, rounds, spinMicros, limitMs, echo }: RoundPlan): Promise<LinkTimes> {
    const plan = Int32Array.of(bytes, rounds, spinMicros, limitMs, Number(echo));
    return this.#run(() => loadAddon().timeLink(this.native, plan));
  }

  /**
   * Sends after the messages queued before, without holding up those that come in. With the first queued message a thread of its own
   * takes the link over; nothing else may use it from then on. Resolves when the message may be overwritten.
   */
  async queueSend(message: Uint8Array): Promise<void> {
    await queued(() => loadAddon().queueSend(this.native, message));
  }

  /** The same for the next message; resolves to its bytes. However long it takes: closing the link ends the wait. */
  queueReceive(into: Uint8Array): Promise<number> {
    return queued(() => loadAddon().queueReceive(this.native, into));
  }

  /** Ends the link at once, and whatever waits for its peer: a queue, or a compute thread in a step. */
  end(): void {
    translated(() => loadAddon().closeLink(this.native, DROP.closed));
  }

  /** Says goodbye, after what still moves. */
  async close(why: keyof typeof DROP = "closed"): Promise<void> {
    await this.#running.catch(() => {});
    translated(() => loadAddon().closeLink(this.native, DROP[why]));
  }

  async #run<T>(start: () => Promise<T>): Promise<T> {
    try {
      const running = start();
      this.#running = running;
      return await running;
    } catch (error) {
      throw translate(error);
    }
  }
}

async function queued<T>(start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    throw translate(error);
  }
}

/** E_LINK with what to install where this machine has no UCX. */
export function requireUcx(): void {
  translated(() => loadAddon().requireUcx());
}

/** Both ends of a link within this process, open. E_LINK, E_LINK_MEMORY. */
export function linkPair(): readonly [Link, Link] {
  const [one, other] = translated(() => loadAddon().linkPair());
  return [new Link("shared", one), new Link("shared", other)];
}

/** Asks a listening node for a link. E_LINK, E_LINK_PEER, E_LINK_MEMORY, E_DEADLINE. */
export async function connectLink({ driver, host, port }: LinkAddress, limitMs: number): Promise<Link> {
  try {
    return new Link(driver, await loadAddon().connectLink(driverNumber[driver], host, port, limitMs), host);
  } catch (error) {
    throw translate(error);
  }
}

/** Where other nodes ask for links. */
export class LinkListener {
  readonly #address: LinkAddress;
  readonly #native: NativeListener;
  #closed = false;

  /** E_LINK where the address cannot be listened at. */
  constructor(address: LinkAddress) {
    const { driver, host, port } = address;
    this.#native = translated(() => loadAddon().listenLink(driverNumber[driver], host, port));
    this.#address = { ...address, port: loadAddon().listenerPort(this.#native) };
  }

  /** With the port that was free. */
  get address(): LinkAddress {
    return this.#address;
  }

  /** The next node that asks, or undefined. Does not wait. E_LINK, E_LINK_PEER, E_LINK_MEMORY: this node cannot have a link. */
  accept(): Link | undefined {
    assert(!this.#closed, "A closed listener accepts nothing.");
    const native = translated(() => loadAddon().acceptLink(this.#native));
    return native === undefined ? undefined : new Link(this.#address.driver, native, this.#address.host);
  }

  close(): void {
    this.#closed = true;
    loadAddon().closeListener(this.#native);
  }
}
