/** What the engine counts, as metrics: read anew from its snapshot whenever somebody looks. */

import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { MetricsSnapshot } from "../../engine/mod.ts";

export type Snapshot = () => MetricsSnapshot | undefined;

type Gauges = MetricsSnapshot["gauges"];
type Counters = MetricsSnapshot["counters"];
type Histograms = MetricsSnapshot["histograms"];

/** Names behind `claw:` are vLLM's wherever it has one for the same thing. */
const gauges: readonly (readonly [name: string, help: string, value: (gauges: Gauges) => number])[] = [
  ["num_requests_running", "Answers that run.", ({ running }) => running],
  ["num_requests_waiting", "Answers that wait, preempted ones included.", ({ waiting }) => waiting],
  ["max_batch_size", "Answers that may run together.", ({ batch }) => batch],
  [
    "batch_occupancy_perc",
    "Answers that run, as a fraction of those that may.",
    ({ running, batch }) => share(running, batch),
  ],
  [
    "kv_cache_usage_perc",
    "KV pages of running answers, as a fraction of all.",
    ({ pagesUsed, pagesLimit }) => share(pagesUsed, pagesLimit),
  ],
];

const pageStates = { used: "pagesUsed", cached: "pagesCached", free: "pagesFree" } as const;

const counters: readonly (readonly [name: string, help: string, counter: keyof Counters])[] = [
  ["iterations_total", "Steps of the engine.", "steps"],
  ["iteration_tokens_total", "Token rows of all steps.", "rows"],
  ["prefill_tokens_total", "Rows that read prompts.", "prefillTokens"],
  ["decode_tokens_total", "Rows that decoded.", "decodeTokens"],
  ["batch_places_taken_total", "Answers in a step, added up over all steps.", "takenPlaces"],
  ["batch_places_total", "Answers that a step had places for, added up over all steps.", "places"],
  [
    "contended_places_taken_total",
    "The same over steps that began while answers waited: answers in them.",
    "contendedTaken",
  ],
  [
    "contended_places_total",
    "The same over steps that began while answers waited: places there were.",
    "contendedPlaces",
  ],
  ["prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", "prefixLookupTokens"],
  ["prefix_cache_hits_total", "Prompt tokens found there.", "prefixHitTokens"],
  ["num_swapped_in_total", "Preempted answers whose pages were copied back.", "swappedIn"],
  ["weights_scrubbed_bytes_total", "Resident weights compared with what was loaded.", "scrubbedBytes"],
  [
    "weights_damaged_total",
    "Blocks of resident weights found changed; the engine then ends.",
    "damagedBlocks",
  ],
  [
    "rank_exchanges_total",
    "Times that steps waited for messages between ranks: exchanges of the rank with the most, added up over all steps.",
    "rankExchanges",
  ],
  ["rank_messages_total", "Messages between ranks.", "rankMessages"],
  ["rank_message_bytes_total", "Bytes in them.", "rankBytes"],
  ["rank_losses_total", "Times that what computes was lost.", "losses"],
  ["recoveries_total", "Times that another took the place of what was lost.", "recoveries"],
  [
    "kv_pages_copied_total",
    "KV pages copied out, for ranks that may have to go on with them.",
    "copiedPages",
  ],
  ["kv_copies_forgotten_total", "Such copies that gave way to others.", "forgottenPages"],
  ["restored_tokens_total", "Tokens that came from such copies after a loss or a change.", "restoredTokens"],
  ["plan_changes_total", "Changes of how the model is split, while answers ran.", "planChanges"],
];

const preemptions = { swap: "swappedOut", recompute: "recomputed" } as const;

const histograms: readonly (readonly [name: string, help: string, histogram: keyof Histograms])[] = [
  ["time_to_first_token_seconds", "From a request's arrival to its first token.", "firstTokenSeconds"],
  ["inter_token_latency_seconds", "Between two tokens of an answer.", "interTokenSeconds"],
  ["request_queue_time_seconds", "From a request's arrival to its place in the batch.", "queueSeconds"],
  ["e2e_request_latency_seconds", "From a request's arrival to its last token.", "requestSeconds"],
  [
    "recovery_gap_seconds",
    "Between the last step before what computes was replaced and the first one after.",
    "gapSeconds",
  ],
  ["engine_gc_duration_seconds", "Garbage collections on the engine's thread.", "collectSeconds"],
];

const delays = { p50: "loopDelayP50", p99: "loopDelayP99", max: "loopDelayMax" } as const;

const stages = {
  plan: "planSeconds",
  execute: "executeSeconds",
  sample: "sampleSeconds",
  deliver: "deliverSeconds",
} as const;

export function addEngineMetrics(registry: Registry, snapshot: Snapshot): void {
  const registers = [registry];
  for (const [suffix, help, value] of gauges) {
    const gauge: Gauge = new Gauge({
      name: `claw:${suffix}`,
      help,
      registers,
      collect: () => gauge.set(value(snapshot()?.gauges ?? none)),
    });
  }
  labelled(registry, {
    name: "claw:kv_cache_pages",
    help: "KV pages of running answers, of the prefix cache alone, and free ones.",
    label: "state",
    values: () => mapValues(pageStates, (name) => snapshot()?.gauges[name] ?? 0),
  });
  labelled(registry, {
    name: "claw:engine_eventloop_delay_seconds",
    help: "How late the engine's thread was to its events in the last ten seconds.",
    label: "statistic",
    values: () => mapValues(delays, (name) => snapshot()?.delays[name] ?? 0),
  });
  for (const [suffix, help, name] of counters) {
    counted(registry, {
      name: `claw:${suffix}`,
      help,
      values: () => ({ "": snapshot()?.counters[name] ?? 0 }),
    });
  }
  counted(registry, {
    name: "claw:num_preemptions_total",
    help: "Answers that lost their pages for others: copied out, or to be computed again.",
    label: "kind",
    values: () => mapValues(preemptions, (name) => snapshot()?.counters[name] ?? 0),
  });
  for (const [suffix, help, name] of histograms) {
    const parts = (): Parts => ({ "": snapshot()?.histograms[name] });
    registry.registerMetric(new SnapshotHistogram({ name: `claw:${suffix}`, help, label: undefined, parts }));
  }
  const parts = (): Parts => mapValues(stages, (name) => snapshot()?.histograms[name]);
  const help = "What a step's time went into.";
  registry.registerMetric(
    new SnapshotHistogram({ name: "claw:step_time_seconds", help, label: "stage", parts }),
  );
}

const none: Gauges = {
  running: 0,
  waiting: 0,
  batch: 0,
  pagesUsed: 0,
  pagesCached: 0,
  pagesFree: 0,
  pagesLimit: 0,
};

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

export function mapValues<K extends string, V, W>(
  record: Readonly<Record<K, V>>,
  map: (value: V) => W,
): Record<K, W> {
  const entries = (Object.entries(record) as [K, V][]).map(([key, value]) => [key, map(value)]);
  return Object.fromEntries(entries) as Record<K, W>;
}

interface Readings {
  readonly name: string;
  readonly help: string;
  readonly label?: string;
  /** By the label's values; by "" where there is no label. */
  readonly values: () => Readonly<Record<string, number>>;
}

/** Gauges with a label that somebody else reads. */
export function labelled(registry: Registry, { name, help, label = "", values }: Readings): void {
  const gauge: Gauge = new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect: () => {
      for (const [value, reading] of Object.entries(values())) gauge.set({ [label]: value }, reading);
    },
  });
}

/** Counters that somebody else counts. */
export function counted(registry: Registry, { name, help, label, values }: Readings): void {
  const counter: Counter = new Counter({
    name,
    help,
    labelNames: label === undefined ? [] : [label],
    registers: [registry],
    collect: () => {
      counter.reset();
      for (const [value, reading] of Object.entries(values())) {
        counter.inc(label === undefined ? {} : { [label]: value }, reading);
      }
    },
  });
}

type Parts = Readonly<Record<string, Histograms[keyof Histograms] | undefined>>;

interface HistogramReadings {
  readonly name: string;
  readonly help: string;
  readonly label: string | undefined;
  readonly parts: () => Parts;
}

interface Sample {
  readonly metricName: string;
  readonly labels: Record<string, string | number>;
  readonly value: number;
}

/** A histogram whose buckets somebody else fills. */
class SnapshotHistogram extends Histogram {
  readonly #readings: HistogramReadings;

  constructor(readings: HistogramReadings) {
    super({ name: readings.name, help: readings.help, registers: [] });
    this.#readings = readings;
  }

  /** What the registry prints. */
  async getForPromString(): Promise<object> {
    const { name, help, label, parts } = this.#readings;
    const values = Object.entries(parts()).flatMap(([value, part]) => {
      if (part === undefined) return [];
      const labels = label === undefined ? {} : { [label]: value };
      let count = 0;
      const buckets = part.counts.map((observed, index): Sample => {
        count += observed;
        return {
          metricName: `${name}_bucket`,
          labels: { ...labels, le: part.bounds[index] ?? "+Inf" },
          value: count,
        };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: part.sum },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
    return { name, help, type: "histogram", values, aggregator: "sum" };
  }
}
