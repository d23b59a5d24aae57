/** I/O: asks other nodes for links, and looks by a timer whether they ask for some. */

import { asClawError, type ClawError } from "../../base/mod.ts";
import { connectLink, type Link, type LinkAddress, LinkListener } from "../../kernels/mod.ts";
import { introduce, type LinkSettings, type PeerLink, welcome } from "./handshake.ts";
import { ACCEPT_INTERVAL_MS, HANDSHAKE_MS, HANDSHAKES_MAX } from "./limits.ts";

/** Opens a link to a node that listens. E_LINK, E_LINK_PEER, E_LINK_MEMORY, E_DEADLINE. */
export async function connectPeer(address: LinkAddress, settings: LinkSettings): Promise<PeerLink> {
  return introduce(await connectLink(address, settings.handshakeMs ?? HANDSHAKE_MS), settings);
}

export interface PeerEvents {
  /** As they are when a peer asks: epochs change. */
  readonly settings: () => LinkSettings;
  readonly onLink: (peer: PeerLink) => void;
  /** Somebody asked who could not be given a link. */
  readonly onRefused: (reason: ClawError) => void;
}

/** Where other nodes ask for links. Several may shake hands at a time, so that one that says nothing holds up nobody. */
export class PeerListener {
  readonly #listener: LinkListener;
  readonly #events: PeerEvents;
  readonly #timer: NodeJS.Timeout;
  readonly #handshakes = new Set<Promise<void>>();

  /** E_LINK where the address cannot be listened at. */
  constructor(address: LinkAddress, events: PeerEvents) {
    this.#listener = new LinkListener(address);
    this.#events = events;
    this.#timer = setInterval(() => this.#look(), ACCEPT_INTERVAL_MS);
  }

  /** With the port that was free. */
  get address(): LinkAddress {
    return this.#listener.address;
  }

  /** Links that are open stay so. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#listener.close();
    await Promise.all(this.#handshakes);
  }

  #look(): void {
    while (this.#handshakes.size < HANDSHAKES_MAX) {
      const link = this.#accept();
      if (link === undefined) return;
      const handshake = this.#welcome(link).finally(() => this.#handshakes.delete(handshake));
      this.#handshakes.add(handshake);
    }
  }

  #accept(): Link | undefined {
    try {
      return this.#listener.accept();
    } catch (error) {
      this.#events.onRefused(asClawError(error));
      return undefined;
    }
  }

  async #welcome(link: Link): Promise<void> {
    const { settings, onLink, onRefused } = this.#events;
    let peer: PeerLink;
    try {
      peer = await welcome(link, settings());
    } catch (error) {
      return onRefused(asClawError(error));
    }
    onLink(peer);
  }
}
