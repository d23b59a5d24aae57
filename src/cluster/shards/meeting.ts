/** I/O: a timer. Where the processes of a placement ask one of them for links, and how they ask. */

import { ClawError } from "../../base/mod.ts";
import type { LinkAddress } from "../../kernels/mod.ts";
import { connectPeer, type LinkSettings, type PeerLink, PeerListener } from "../link/mod.ts";
import type { LinkPlace } from "./joining.ts";
import { JOIN_MS } from "./limits.ts";

export class Meeting {
  /** Where others reach this process, with the ports that were free. */
  readonly place: LinkPlace;
  readonly #listeners: PeerListener[] = [];
  readonly #arrived: PeerLink[] = [];
  #wanted: ((peer: PeerLink) => void) | undefined;
  /** Why the last one that asked was given no link. */
  #refused: ClawError | undefined;

  /** E_LINK where an address cannot be listened at. */
  constructor({ host, addresses }: LinkPlace, settings: LinkSettings) {
    const events = {
      settings: () => settings,
      onLink: (peer: PeerLink) => this.#arrive(peer),
      onRefused: (reason: ClawError) => {
        this.#refused = reason;
      },
    };
    try {
      for (const address of addresses) this.#listeners.push(new PeerListener(address, events));
    } catch (error) {
      void this.close();
      throw error;
    }
    this.place = { host, addresses: this.#listeners.map(({ address }) => address) };
  }

  /** The next one that asked and knows the secret. E_LINK when it takes longer than joining may. */
  async next(what: string): Promise<PeerLink> {
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) return arrived;
    const { promise, resolve } = Promise.withResolvers<PeerLink>();
    this.#wanted = resolve;
    try {
      return await withinTime(promise, what);
    } catch (error) {
      throw this.#refused ?? error;
    } finally {
      this.#wanted = undefined;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    for (const { link } of this.#arrived.splice(0)) link.end();
  }

  #arrive(peer: PeerLink): void {
    if (this.#wanted === undefined) this.#arrived.push(peer);
    else this.#wanted(peer);
    this.#wanted = undefined;
  }
}

/** Asks the process at `place` for a link, from a process at `host`. Errors: those of links, with its name. */
export async function connectTo(
  { host, addresses }: LinkPlace,
  settings: LinkSettings,
  from: { readonly host: string; readonly name: string },
): Promise<PeerLink> {
  const here = host === from.host;
  const address = addresses.find(({ driver }) => (driver === "shared") === here);
  if (address === undefined) {
    const way = here ? "shared memory" : "the network";
    const message = `${from.name} of host ${host} cannot be reached over ${way} from host ${from.host}.`;
    throw new ClawError("E_LINK", message);
  }
  return connectAt(address, settings, from.name);
}

/** As connectTo, at an address. */
export async function connectAt(
  address: LinkAddress,
  settings: LinkSettings,
  name: string,
): Promise<PeerLink> {
  try {
    return await connectPeer(address, settings);
  } catch (error) {
    if (!(error instanceof ClawError)) throw error;
    throw new ClawError(error.code, `Cannot reach ${name}: ${error.message}`, { cause: error });
  }
}

/** E_LINK when it takes longer than joining may. */
export async function withinTime<T>(awaited: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new ClawError("E_LINK", `A rank took longer than ${JOIN_MS / 1000} s to ${what}.`);
    timer = setTimeout(() => reject(error), JOIN_MS);
  });
  try {
    return await Promise.race([awaited, late]);
  } finally {
    clearTimeout(timer);
  }
}
