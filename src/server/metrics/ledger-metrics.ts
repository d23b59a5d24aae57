/** What is counted of the ledger, as metrics. */

import { Gauge, type Registry } from "prom-client";
import type { LedgerCounts } from "../../audit/mod.ts";
import { counted, labelled, mapValues } from "./engine-metrics.ts";

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
  addWitnessMetrics(registry, () => counts().witnesses);
}

function addWitnessMetrics(registry: Registry, witnesses: () => LedgerCounts["witnesses"]): void {
  const label = "witness";
  labelled(registry, {
    name: "claw:ledger_witness_up",
    help: "1 where the witness cosigned when it was asked last.",
    label,
    values: () => mapValues(witnesses(), ({ up }) => Number(up)),
  });
  labelled(registry, {
    name: "claw:ledger_witness_entries",
    help: "Entries below the last checkpoint that the witness cosigned.",
    label,
    values: () => mapValues(witnesses(), ({ cosigned }) => cosigned),
  });
  counted(registry, {
    name: "claw:ledger_witness_failures_total",
    help: "Checkpoints that the witness did not cosign when it was asked.",
    label,
    values: () => mapValues(witnesses(), ({ failures }) => failures),
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
