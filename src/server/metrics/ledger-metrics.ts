/** What is counted of the ledger, as metrics. */

import { Gauge, type Registry } from "prom-client";
import type { LedgerCounts } from "../../audit/mod.ts";
import { counted } from "./engine-metrics.ts";

export function addLedgerMetrics(registry: Registry, counts: () => LedgerCounts): void {
  gauge(registry, {
    name: "claw:ledger_entries",
    help: "Entries that are durable in the ledger.",
    value: () => counts().entries,
  });
  gauge(registry, {
    name: "claw:ledger_entries_published",
    help: "Entries below the ledger's last checkpoint.",
    value: () => counts().published,
  });
  gauge(registry, {
    name: "claw:ledger_writable",
    help: "1 while the ledger can be written to; without it no answer is given.",
    value: () => Number(counts().writable),
  });
  counted(registry, {
    name: "claw:ledger_failures_total",
    help: "Entries, prompts and answers that could not be written.",
    values: () => ({ "": counts().failures }),
  });
}

interface Reading {
  readonly name: string;
  readonly help: string;
  readonly value: () => number;
}

function gauge(registry: Registry, { name, help, value }: Reading): void {
  const made: Gauge = new Gauge({ name, help, registers: [registry], collect: () => made.set(value()) });
}
