/** I/O: looks at a server every so often while it is under load. */

import { LOOK_MS } from "./limits.ts";

/** Requests in the engine at one time. */
export interface ServerState {
  /** Milliseconds since the load began. */
  readonly ms: number;
  readonly running: number;
  readonly waiting: number;
}

export class Watch {
  readonly states: ServerState[] = [];
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  /** Looks until it is stopped; a look that fails is left out. */
  constructor(url: string, clock: () => number, onState: (state: ServerState) => void) {
    this.#timer = setInterval(() => {
      if (this.#looking) return;
      this.#looking = true;
      look(url, clock)
        .then((state) => {
          this.states.push(state);
          onState(state);
        })
        .catch(() => {})
        .finally(() => {
          this.#looking = false;
        });
    }, LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

async function look(url: string, clock: () => number): Promise<ServerState> {
  const ms = clock();
  const response = await fetch(`${url}/health`);
  const { running, waiting } = (await response.json()) as { running: number; waiting: number };
  return { ms, running, waiting };
}

/**
 * The mean share of `batch` places that were taken while more requests waited: in the server, or until
 * `queuedUntilMs` to be sent. Null where none ever did.
 */
export function occupancy(
  states: readonly ServerState[],
  { batch, queuedUntilMs }: { readonly batch: number; readonly queuedUntilMs: number },
): number | null {
  const busy = states.filter(({ ms, waiting }) => waiting > 0 || ms < queuedUntilMs);
  if (busy.length === 0) return null;
  return busy.reduce((sum, { running }) => sum + running, 0) / busy.length / batch;
}
