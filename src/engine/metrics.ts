/**
 * An engine's counters, gauges and histograms in shared memory: the engine's thread writes, any other reads at any
 * time, and no message passes between them. Every number has one writer, so a reader sees each whole; two numbers read
 * together may be a step apart.
 */

import { at } from "../base/mod.ts";
import type { EngineObserver, RequestOutcome, RequestRecord, StepRecord } from "./step-record.ts";

/** Numbers as of the last step, or of when there was nothing left to step. */
const GAUGES = [
  "running",
  "waiting",
  "batch",
  "pagesUsed",
  "pagesCached",
  "pagesFree",
  "pagesLimit",
] as const;

/** Numbers that only grow. */
const COUNTERS = [
  "steps",
  "rows",
  "prefillTokens",
  "decodeTokens",
  "takenPlaces",
  "places",
  "contendedTaken",
  "contendedPlaces",
  "prefixLookupTokens",
  "prefixHitTokens",
  "swappedOut",
  "recomputed",
  "swappedIn",
  "rankExchanges",
  "rankMessages",
  "rankBytes",
  "scrubbedBytes",
  "damagedBlocks",
  "losses",
  "recoveries",
  "planChanges",
  "copiedPages",
  "forgottenPages",
  "restoredTokens",
  "stop",
  "length",
  "failed",
  "cancelled",
] as const;

/** How late the engine's thread was to its events, in seconds; told now and then, whether it steps or not. */
const DELAYS = ["loopDelayP50", "loopDelayP99", "loopDelayMax"] as const;

/** Upper bounds in seconds; one more bucket holds the rest. Those of times are vLLM's, so that dashboards carry over. */
const TOKEN_BOUNDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10,
];
const REQUEST_BOUNDS: readonly number[] = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
];
const STEP_BOUNDS: readonly number[] = [
  0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.002, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10,
];

type GaugeName = (typeof GAUGES)[number];
type CounterName = (typeof COUNTERS)[number];
type DelayName = (typeof DELAYS)[number];
type HistogramName =
  | "queueSeconds"
  | "firstTokenSeconds"
  | "interTokenSeconds"
  | "requestSeconds"
  | "planSeconds"
  | "executeSeconds"
  | "sampleSeconds"
  | "deliverSeconds"
  | "collectSeconds"
  | "gapSeconds";

const HISTOGRAMS: Readonly<Record<HistogramName, readonly number[]>> = {
  queueSeconds: REQUEST_BOUNDS,
  firstTokenSeconds: REQUEST_BOUNDS,
  interTokenSeconds: TOKEN_BOUNDS,
  requestSeconds: REQUEST_BOUNDS,
  planSeconds: STEP_BOUNDS,
  executeSeconds: STEP_BOUNDS,
  sampleSeconds: STEP_BOUNDS,
  deliverSeconds: STEP_BOUNDS,
  collectSeconds: STEP_BOUNDS,
  gapSeconds: REQUEST_BOUNDS,
};

export interface HistogramSnapshot {
  /** Upper bounds, in seconds. */
  readonly bounds: readonly number[];
  /** Observations in each bucket, one more than there are bounds; not cumulative. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export interface MetricsSnapshot {
  readonly gauges: Readonly<Record<GaugeName, number>>;
  readonly counters: Readonly<Record<CounterName, number>>;
  readonly delays: Readonly<Record<DelayName, number>>;
  readonly histograms: Readonly<Record<HistogramName, HistogramSnapshot>>;
}

const histogramNames = Object.keys(HISTOGRAMS) as HistogramName[];

/** Where each number lies: gauges, counters, then each histogram's buckets and its sum. */
const offsets: ReadonlyMap<string, number> = layout();
const LENGTH = offsets.get("end") as number;

function layout(): Map<string, number> {
  const places = new Map<string, number>();
  let next = 0;
  for (const name of [...GAUGES, ...COUNTERS, ...DELAYS]) places.set(name, next++);
  for (const name of histogramNames) {
    places.set(name, next);
    next += HISTOGRAMS[name].length + 2;
  }
  return places.set("end", next);
}

export class EngineMetrics implements EngineObserver {
  /** Hand it to another thread and make the reader there with it. */
  readonly memory: SharedArrayBuffer;
  readonly #numbers: Float64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(LENGTH * Float64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#numbers = new Float64Array(memory);
  }

  stepped(record: StepRecord): void {
    this.idled(record);
    this.#add("steps", 1);
    this.#add("takenPlaces", record.sequences);
    this.#add("places", record.batch);
    for (const name of COUNTED) this.#add(name, record[name]);
    this.#observe("planSeconds", record.planMs / 1000);
    this.#observe("executeSeconds", record.executeMs / 1000);
    this.#observe("sampleSeconds", record.sampleMs / 1000);
    this.#observe("deliverSeconds", record.deliverMs / 1000);
  }

  idled(record: StepRecord): void {
    for (const name of GAUGES) this.#numbers[place(name)] = record[name];
  }

  /** A garbage collection that held up the engine's thread. */
  collected(seconds: number): void {
    this.#observe("collectSeconds", seconds);
  }

  /** Resident weights that were looked at again, and whether they had changed. */
  scrubbed(bytes: number, damaged: boolean): void {
    this.#add("scrubbedBytes", bytes);
    if (damaged) this.#add("damagedBlocks", 1);
  }

  /** What computes was lost. */
  lost(): void {
    this.#add("losses", 1);
  }

  /** The engine goes on with another runtime. */
  moved(why: "loss" | "change"): void {
    this.#add(why === "loss" ? "recoveries" : "planChanges", 1);
  }

  /** A page was copied out; a copy had to give way; so many tokens came from copies. */
  copied(): void {
    this.#add("copiedPages", 1);
  }

  forgot(): void {
    this.#add("forgottenPages", 1);
  }

  restored(tokens: number): void {
    this.#add("restoredTokens", tokens);
  }

  /** So long no step was done, though there were requests, because the runtime was replaced. */
  paused(seconds: number): void {
    this.#observe("gapSeconds", seconds);
  }

  delayed(delays: Readonly<Record<DelayName, number>>): void {
    for (const name of DELAYS) this.#numbers[place(name)] = delays[name];
  }

  token({ queuedAt, admittedAt, firstTokenAt, previousTokenAt, lastTokenAt }: RequestRecord): void {
    if (lastTokenAt === undefined || firstTokenAt === undefined) return;
    if (previousTokenAt !== undefined) {
      this.#observe("interTokenSeconds", (lastTokenAt - previousTokenAt) / 1000);
      return;
    }
    this.#observe("firstTokenSeconds", (firstTokenAt - queuedAt) / 1000);
    this.#observe("queueSeconds", ((admittedAt ?? firstTokenAt) - queuedAt) / 1000);
  }

  ended({ queuedAt, lastTokenAt }: RequestRecord, outcome: RequestOutcome): void {
    this.#add(outcome, 1);
    if (lastTokenAt !== undefined) this.#observe("requestSeconds", (lastTokenAt - queuedAt) / 1000);
  }

  /** All numbers as they are now. */
  read(): MetricsSnapshot {
    const value = (name: string): readonly [string, number] => [name, at(this.#numbers, place(name))];
    return {
      gauges: Object.fromEntries(GAUGES.map(value)) as Record<GaugeName, number>,
      counters: Object.fromEntries(COUNTERS.map(value)) as Record<CounterName, number>,
      delays: Object.fromEntries(DELAYS.map(value)) as Record<DelayName, number>,
      histograms: Object.fromEntries(histogramNames.map((name) => [name, this.#histogram(name)])) as Record<
        HistogramName,
        HistogramSnapshot
      >,
    };
  }

  #histogram(name: HistogramName): HistogramSnapshot {
    const bounds = HISTOGRAMS[name];
    const first = place(name);
    const sum = first + bounds.length + 1;
    return { bounds, counts: [...this.#numbers.subarray(first, sum)], sum: at(this.#numbers, sum) };
  }

  #add(name: CounterName, count: number): void {
    this.#numbers[place(name)] = at(this.#numbers, place(name)) + count;
  }

  #observe(name: HistogramName, seconds: number): void {
    const bounds = HISTOGRAMS[name];
    const first = place(name);
    let bucket = 0;
    while (bucket < bounds.length && seconds > at(bounds, bucket)) bucket++;
    this.#numbers[first + bucket] = at(this.#numbers, first + bucket) + 1;
    const sum = first + bounds.length + 1;
    this.#numbers[sum] = at(this.#numbers, sum) + seconds;
  }
}

/** Counters that a step record has under the same name. */
const COUNTED = [
  "rows",
  "prefillTokens",
  "decodeTokens",
  "contendedTaken",
  "contendedPlaces",
  "prefixLookupTokens",
  "prefixHitTokens",
  "swappedOut",
  "recomputed",
  "swappedIn",
  "rankExchanges",
  "rankMessages",
  "rankBytes",
] as const;

function place(name: string): number {
  return offsets.get(name) as number;
}
