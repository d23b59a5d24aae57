/** What is counted of streams that outlive their connections, as metrics. */

import { Gauge, type Registry } from "prom-client";
import type { StreamCounts } from "../streams/mod.ts";
import { counted } from "./engine-metrics.ts";

export function addStreamMetrics(registry: Registry, counts: () => StreamCounts): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    const made: Gauge = new Gauge({ name, help, registers: [registry], collect: () => made.set(value()) });
  };
  gauge(
    "claw:streams_kept",
    "Streams that their clients may come back to, ended ones included.",
    () => counts().kept,
  );
  gauge("claw:streams_kept_bytes", "What the events of these streams take in memory.", () => counts().bytes);
  const total = (name: string, help: string, value: () => number): void =>
    counted(registry, { name, help, values: () => ({ "": value() }) });
  total("claw:streams_resumed_total", "Clients that came back to a stream.", () => counts().resumed);
  total(
    "claw:streams_abandoned_total",
    "Streams that were ended because nobody came back.",
    () => counts().abandoned,
  );
  total(
    "claw:streams_evicted_total",
    "Streams that were let go of for want of room.",
    () => counts().evicted,
  );
}
