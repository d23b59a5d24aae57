/** What `GET /metrics` answers: counts of the server, the engine and the process, in Prometheus's text format 0.0.4. */

import { Counter, collectDefaultMetrics, Registry } from "prom-client";
import type { LedgerCounts } from "../../audit/mod.ts";
import type { CapabilityCounts } from "../../capability/mod.ts";
import type { StreamCounts } from "../streams/mod.ts";
import { addCapabilityMetrics } from "./capability-metrics.ts";
import { addEngineMetrics, type Snapshot } from "./engine-metrics.ts";
import { addGatewayMetrics, type ClusterCounts } from "./gateway-metrics.ts";
import { addLedgerMetrics } from "./ledger-metrics.ts";
import { addStreamMetrics } from "./stream-metrics.ts";

/** Gauges that prom-client names as if they were counters. */
const misnamed = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** How a request that was taken in came to its end, beside the finish reasons of answers. */
type FinishedReason = "stop" | "length" | "abort" | "error";

export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #promptTokens: Counter;
  readonly #generationTokens: Counter;
  readonly #finished: Counter;
  readonly #responses: Counter;

  /** `engine`: its numbers, once there is one. */
  constructor(model: string, engine: Snapshot) {
    const registers = [this.#registry];
    this.#registry.setDefaultLabels({ model_name: model });
    const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
      new Counter({ name: `claw:${name}`, help, labelNames, registers });
    this.#promptTokens = counter("prompt_tokens_total", "Tokens of prompts whose answers began.");
    this.#generationTokens = counter("generation_tokens_total", "Tokens drawn for answers.");
    this.#finished = counter("request_success_total", "Answers that ended, by how.", ["finished_reason"]);
    this.#responses = counter("http_requests_total", "Requests that were answered or left.", [
      "path",
      "status",
    ]);
    for (const reason of ["stop", "length", "abort", "error"])
      this.#finished.inc({ finished_reason: reason }, 0);
    addEngineMetrics(this.#registry, engine);
    collectDefaultMetrics({ register: this.#registry });
    for (const name of misnamed) this.#registry.removeSingleMetric(name);
  }

  /** Adds what is counted of streams that outlive their connections. */
  addStreams(counts: () => StreamCounts): void {
    addStreamMetrics(this.#registry, counts);
  }

  /** Adds what is counted of a server that others stand beside. */
  addGateway(counts: ClusterCounts): void {
    addGatewayMetrics(this.#registry, counts);
  }

  /** Adds what is counted of the ledger. */
  addLedger(counts: () => LedgerCounts): void {
    addLedgerMetrics(this.#registry, counts);
  }

  /** Adds what is counted of capability tokens. */
  addCapabilities(counts: CapabilityCounts): void {
    addCapabilityMetrics(this.#registry, counts);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  prompted(tokens: number): void {
    this.#promptTokens.inc(tokens);
  }

  generated(tokens: number): void {
    this.#generationTokens.inc(tokens);
  }

  finished(reason: FinishedReason, answers = 1): void {
    this.#finished.inc({ finished_reason: reason }, answers);
  }

  /** `path`: of the route, never what was asked for, so that nobody makes as many series as they like. */
  responded(path: string | undefined, status: number): void {
    this.#responses.inc({ path: path ?? "other", status: String(status) });
  }
}
