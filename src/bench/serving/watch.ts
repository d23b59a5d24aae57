/** I/O: looks at a server every so often while it is under load. */

import type { Target } from "./completion.ts";
import { LOOK_MS } from "./limits.ts";

/** Requests in the engine at one time. */
interface ServerState {
  readonly running: number;
  readonly waiting: number;
}

export class Watch {
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  /** Looks until it is stopped; a look that fails is left out. */
  constructor(url: string, onState: (state: ServerState) => void) {
    this.#timer = setInterval(() => {
      if (this.#looking) return;
      this.#looking = true;
      look(url)
        .then(onState)
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

async function look(url: string): Promise<ServerState> {
  const response = await fetch(`${url}/health`);
  const { running, waiting } = (await response.json()) as { running: number; waiting: number };
  return { running, waiting };
}

/** Places of all steps so far, and of those that began while requests waited in the server: taken, and there. */
export interface Places {
  readonly taken: number;
  readonly all: number;
  readonly contendedTaken: number;
  readonly contended: number;
}

/** What the server counted when a load began, when its last request was sent, and when all was answered. */
export interface PlacesSeen {
  readonly begin: Places;
  readonly sent: Places;
  readonly end: Places;
}

const placeMetrics = {
  taken: "batch_places_taken_total",
  all: "batch_places_total",
  contendedTaken: "contended_places_taken_total",
  contended: "contended_places_total",
} as const;

/** Undefined where the server does not say: it is another's, or wants another key for it. */
export async function readPlaces(target: Target): Promise<Places | undefined> {
  const text = await readMetrics(target);
  const entries = Object.entries(placeMetrics).map(([key, name]) => [key, metricIn(text, name)] as const);
  const known = entries.every(([, value]) => Number.isFinite(value));
  return known ? (Object.fromEntries(entries) as unknown as Places) : undefined;
}

/** One of our server's metrics; NaN where it has none of that name. */
export async function readMetric(target: Target, name: string): Promise<number> {
  return metricIn(await readMetrics(target), name);
}

function metricIn(text: string, name: string): number {
  return Number(new RegExp(`^claw:${name}(?:\\{[^}]*\\})? (\\d+)$`, "m").exec(text)?.[1]);
}

function readMetrics({ url, apiKey }: Target): Promise<string> {
  const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  return fetch(`${url}/metrics`, { headers }).then(
    (response) => (response.ok ? response.text() : ""),
    () => "",
  );
}

/**
 * The share of places that were taken, over all steps until the last request was sent, and over those that began while
 * requests waited in the server. Null where there were none.
 */
export function occupancy(turns: readonly PlacesSeen[]): number | null {
  let [taken, all] = [0, 0];
  for (const { begin, sent, end } of turns) {
    taken += sent.taken - begin.taken + end.contendedTaken - sent.contendedTaken;
    all += sent.all - begin.all + end.contended - sent.contended;
  }
  return all === 0 ? null : taken / all;
}
