/** What a ledger costs: the same load against a server that records its answers and one that does not. */

import { median } from "../rounds.ts";
import { withFolder } from "../scratch.ts";
import { openTarget } from "./completion.ts";
import type { LoadOutcome } from "./load.ts";
import type { RecordingReport, ServingOptions } from "./report.ts";
import { failures, joined, loadOf, ourTurn, parts, source, warmUp } from "./serve.ts";
import type { ServerProcess } from "./server.ts";
import { measuredModel, withServer } from "./started.ts";
import { readMetric } from "./watch.ts";
import { longest, planWorkload } from "./workload.ts";

export interface RecordingOptions extends ServingOptions {
  readonly rounds: number;
}

/** Errors: E_SERVER, E_LEDGER, and those of loading. */
export async function measureRecording(options: RecordingOptions): Promise<RecordingReport> {
  const { batch, promptTokens, outputTokens } = options;
  const path = measuredModel(options);
  const context = longest(promptTokens) + longest(outputTokens);
  const size = { path, context, kvPositions: context * batch };
  const measure = (ledger: string): Promise<RecordingReport> =>
    withServer(options, size, (off) =>
      withServer(options, { ...size, ledger }, (on) => takeTurns(options, { on, off })),
    );
  // Beside the model rather than among temporary files, which may lie in memory.
  return withFolder(measure, options.folder);
}

type Side = "on" | "off";

async function takeTurns(
  options: RecordingOptions,
  servers: Readonly<Record<Side, ServerProcess>>,
): Promise<RecordingReport> {
  const plans = planWorkload(options);
  const targets = {
    on: openTarget(servers.on.url, undefined),
    off: openTarget(servers.off.url, undefined),
  };
  const outcomes: Record<Side, LoadOutcome[]> = { on: [], off: [] };
  for (const side of ["on", "off"] as const) await warmUp(targets[side], plans);
  for (const [round, part] of parts(plans, options.rounds).entries()) {
    const sides: Side[] = round % 2 === 0 ? ["on", "off"] : ["off", "on"];
    for (const side of sides) outcomes[side].push(await ourTurn(targets[side], part, options));
  }
  for (const { agent } of Object.values(targets)) agent.destroy();
  const entries = await readMetric(targets.on, "ledger_entries");
  return { ...report(options, outcomes), entries, memory: servers.on.memory() };
}

function report(
  options: RecordingOptions,
  outcomes: Readonly<Record<Side, readonly LoadOutcome[]>>,
): Omit<RecordingReport, "entries" | "memory"> {
  const { model, preset, format, batch } = options;
  const speeds = (side: Side): number[] =>
    outcomes[side].map((outcome) => joined([outcome]).outputTokensPerSecond);
  const off = speeds("off");
  const rounds = speeds("on").map((on, round) => ({
    on,
    off: off[round] ?? 0,
    ratio: on / (off[round] ?? 0),
  }));
  return {
    bench: "serve-ledger",
    unit: "tokens/s",
    ours: median(speeds("on")),
    off: median(off),
    ratio: median(rounds.map(({ ratio }) => ratio)),
    rounds,
    model: source(model, preset),
    format,
    batch,
    load: loadOf(options),
    figures: joined(outcomes.on),
    offFigures: joined(outcomes.off),
    errors: failures([...outcomes.on, ...outcomes.off]),
  };
}
