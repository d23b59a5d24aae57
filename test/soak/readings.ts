/** I/O: what a server under soak says of itself, and what the system says of it. */

import type { ServerProcess } from "../../src/bench/serving/server.ts";

/** Metrics by name and labels, as `/metrics` prints them without the model's name. */
export type Metrics = ReadonlyMap<string, number>;

export async function readMetrics(url: string): Promise<Metrics> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      const name = line.slice(0, space).replace(/model_name="[^"]*",?/, "");
      return [name.replace(/,?\}$/, "}").replace("{}", ""), Number(line.slice(space + 1))];
    }),
  );
}

export function reading(metrics: Metrics, name: string): number {
  const value = metrics.get(name);
  if (value === undefined) throw new Error(`The server has no metric ${name}.`);
  return value;
}

/** Resident bytes once a second, until it is stopped. */
export function watchMemory(server: ServerProcess): { readonly samples: number[]; stop(): void } {
  const samples: number[] = [];
  const timer = setInterval(() => samples.push(server.memory().resident ?? Number.NaN), 1000);
  return { samples, stop: () => clearInterval(timer) };
}

/** Growth of the median from the first to the last quarter of what comes after the warm-up, as a fraction. */
export function growth(samples: readonly number[], warmUp: number): number {
  const steady = samples.slice(Math.floor(samples.length * warmUp));
  const quarter = Math.max(1, Math.floor(steady.length / 4));
  const [first, last] = [median(steady.slice(0, quarter)), median(steady.slice(-quarter))];
  return (last - first) / first;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

/**
 * The upper bound of the histogram bucket that holds a part of the observations, in seconds; of several histograms that
 * are told apart by a label, of the worst.
 */
export function quantileBound(metrics: Metrics, name: string, part: number): number {
  const series = new Map<string, [bound: number, count: number][]>();
  for (const [key, count] of metrics) {
    if (!key.startsWith(`${name}_bucket{`)) continue;
    const bound = /le="([^"]+)"/.exec(key)?.[1] ?? "";
    const labels = key.replace(/,?le="[^"]+"/, "");
    const buckets = series.get(labels) ?? [];
    series.set(labels, [...buckets, [bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound), count]]);
  }
  const bounds = [...series.values()].map((buckets) => {
    const sorted = buckets.toSorted(([a], [b]) => a - b);
    const total = sorted.at(-1)?.[1] ?? 0;
    return sorted.find(([, count]) => count >= part * total)?.[0] ?? Number.NaN;
  });
  return Math.max(...bounds);
}
