/** What is counted of a server that others stand beside, as metrics. */

import { Gauge, type Registry } from "prom-client";
import type { JournalCounts } from "../streams/mod.ts";
import { counted } from "./engine-metrics.ts";

/** What a gateway counts. */
export interface GatewayCounts {
  readonly holds: boolean;
  /** Of the last time that it held the lease. */
  readonly epoch: number;
  readonly takeovers: number;
  /** Streams of others that it went on with. */
  readonly inherited: number;
  /** Streams of others that it could not go on with. */
  readonly lost: number;
  /** Records of the journal that were not taken, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface ClusterCounts {
  readonly gateway: () => GatewayCounts;
  readonly journal: () => JournalCounts;
}

export function addGatewayMetrics(registry: Registry, { gateway, journal }: ClusterCounts): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    const made: Gauge = new Gauge({ name, help, registers: [registry], collect: () => made.set(value()) });
  };
  const total = (name: string, help: string, value: () => number): void =>
    counted(registry, { name, help, values: () => ({ "": value() }) });
  gauge("claw:lease_held", "1 while this server holds the cluster's lease.", () => Number(gateway().holds));
  gauge("claw:lease_epoch", "Of the last time that it held the lease.", () => gateway().epoch);
  total("claw:takeovers_total", "Times that it took the lease.", () => gateway().takeovers);
  total(
    "claw:streams_taken_over_total",
    "Streams of others that it went on with.",
    () => gateway().inherited,
  );
  total("claw:streams_lost_total", "Streams of others that it could not go on with.", () => gateway().lost);
  gauge("claw:journal_streams", "Streams that the journal has of this server.", () => journal().streams);
  gauge("claw:journal_tokens_behind", "Tokens that the journal does not have yet.", () => journal().behind);
  total("claw:journal_failures_total", "Writes to the journal that failed.", () => journal().failures);
  total(
    "claw:streams_unjournalled_total",
    "Streams that the journal did not take and that went on.",
    () => journal().unjournalled,
  );
  counted(registry, {
    name: "claw:journal_records_dropped_total",
    help: "Records of the journal that were not taken, by reason.",
    label: "reason",
    values: () => gateway().dropped,
  });
}
