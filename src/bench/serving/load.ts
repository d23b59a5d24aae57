/** I/O: sends a load to a server and takes the times. */

import { complete, type Target } from "./completion.ts";
import { loadFigures, type RequestTimes, type Spread } from "./record.ts";
import { type Places, type PlacesSeen, readPlaces, Watch } from "./watch.ts";
import type { PlannedRequest } from "./workload.ts";

/** How a load is going, for whoever looks on. */
export interface LoadProgress {
  readonly done: number;
  readonly requests: number;
  readonly tokensPerSecond: number;
  readonly running: number;
  readonly waiting: number;
  readonly timeToFirstTokenMs: Spread | null;
}

export interface LoadOptions {
  readonly plans: readonly PlannedRequest[];
  /** Requests in flight; undefined: each is sent at its time of arrival. */
  readonly concurrency: number | undefined;
  readonly onProgress: (progress: LoadProgress) => void;
}

export interface LoadOutcome {
  readonly requests: readonly RequestTimes[];
  readonly seconds: number;
  /** Undefined where the server does not say. Requests that are sent on time never wait to be sent. */
  readonly places: PlacesSeen | undefined;
}

export async function runLoad(target: Target, options: LoadOptions): Promise<LoadOutcome> {
  const { plans, concurrency, onProgress } = options;
  const begin = await readPlaces(target);
  let sent = Promise.resolve(begin);
  const start = performance.now();
  const clock = (): number => performance.now() - start;
  const requests: RequestTimes[] = [];
  let sending = 0;
  let tokens = 0;
  const watch = new Watch(target.url, ({ running, waiting }) => {
    const { timeToFirstTokenMs } = loadFigures(requests, clock() / 1000);
    const tokensPerSecond = tokens / (clock() / 1000);
    const state = { done: requests.length, requests: plans.length, running, waiting };
    onProgress({ ...state, tokensPerSecond, timeToFirstTokenMs });
  });
  const onToken = (): void => {
    tokens++;
  };
  const send = async (plan: PlannedRequest): Promise<void> => {
    if (++sending === plans.length && concurrency !== undefined) sent = readPlaces(target);
    requests.push(await complete(target, { plan, clock, onToken }));
  };
  try {
    await (concurrency === undefined ? sendOnTime(plans, clock, send) : sendInTurn(plans, concurrency, send));
  } finally {
    watch.stop();
  }
  const seconds = clock() / 1000;
  return { requests, seconds, places: seen(begin, await sent, await readPlaces(target)) };
}

function seen(...[begin, sent, end]: readonly (Places | undefined)[]): PlacesSeen | undefined {
  return begin && sent && end && { begin, sent, end };
}

type Send = (plan: PlannedRequest) => Promise<void>;

/** So many in flight at a time. */
async function sendInTurn(plans: readonly PlannedRequest[], concurrency: number, send: Send): Promise<void> {
  const left = plans.values();
  const place = async (): Promise<void> => {
    for (const plan of left) await send(plan);
  };
  await Promise.all(Array.from({ length: concurrency }, place));
}

async function sendOnTime(plans: readonly PlannedRequest[], clock: () => number, send: Send): Promise<void> {
  const onTime = async (plan: PlannedRequest): Promise<void> => {
    await sleep(plan.arrivalSeconds * 1000 - clock());
    await send(plan);
  };
  await Promise.all(plans.map(onTime));
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
