/** Serving: a load of mixed requests against the real server, and the same load through llama.cpp. */

import { basename } from "node:path";
import { openTarget, type Target } from "./completion.ts";
import { TURNS } from "./limits.ts";
import { type LoadOutcome, runLoad } from "./load.ts";
import { type PeerLoad, PeerServer } from "./peer.ts";
import { type LoadFigures, loadFigures, type RequestTimes } from "./record.ts";
import type { ServingOptions, ServingReport } from "./report.ts";
import type { ServerProcess } from "./server.ts";
import { measuredModel, withServer } from "./started.ts";
import { occupancy } from "./watch.ts";
import { longest, type PlannedRequest, planWorkload } from "./workload.ts";

/** Messages of failed requests in a report, at most. */
const ERRORS_SHOWN = 5;

/** Errors: E_SERVER, E_PEER, E_USAGE, and those of loading. */
export async function measureServing(options: ServingOptions): Promise<ServingReport> {
  const { batch, promptTokens, outputTokens, peer, url } = options;
  const context = longest(promptTokens) + longest(outputTokens);
  const plans = planWorkload(options);
  if (url !== undefined)
    return report(options, await takeTurns(options, { plans, url, peer: undefined }), null);
  const path = measuredModel(options);
  return withServer(options, { path, context, kvPositions: context * batch }, async (server, threads) => {
    const settings = { model: path, threads, sequences: batch, context };
    const other = peer ? await PeerServer.start(settings) : undefined;
    try {
      return report(options, await takeTurns(options, { plans, url: server.url, peer: other }), server);
    } finally {
      other?.close();
    }
  });
}

interface Sides {
  readonly ours: readonly LoadOutcome[];
  readonly peer: readonly PeerLoad[];
  readonly peerInfo: unknown;
}

interface Turn {
  readonly plans: readonly PlannedRequest[];
  readonly url: string;
  readonly peer: PeerServer | undefined;
}

/** Both sides take each part of the load, who begins changes. One part where there is one side. */
async function takeTurns(options: ServingOptions, { plans, url, peer }: Turn): Promise<Sides> {
  const target = openTarget(url, options.apiKey);
  const ours: LoadOutcome[] = [];
  const theirs: PeerLoad[] = [];
  await warmUp(target, plans);
  await peer?.run(warmUpPlans(plans));
  for (const [index, part] of parts(plans, peer === undefined ? 1 : TURNS).entries()) {
    const sides = [
      async (): Promise<void> => void ours.push(await ourTurn(target, part, options)),
      async (): Promise<void> => {
        if (peer !== undefined) theirs.push(await peer.run(part));
      },
    ];
    for (const side of index % 2 === 0 ? sides : sides.toReversed()) await side();
  }
  target.agent.destroy();
  return { ours, peer: theirs, peerInfo: peer?.info ?? null };
}

/** No side's first step counts. */
export async function warmUp(target: Target, plans: readonly PlannedRequest[]): Promise<void> {
  await runLoad(target, { plans: warmUpPlans(plans), concurrency: 1, onProgress: () => {} });
}

function warmUpPlans(plans: readonly PlannedRequest[]): PlannedRequest[] {
  return plans.slice(0, 1).map((plan) => ({ ...plan, outputTokens: 2, arrivalSeconds: 0 }));
}

export function ourTurn(
  target: Target,
  plans: readonly PlannedRequest[],
  { rate, concurrency, onLoad }: ServingOptions,
): Promise<LoadOutcome> {
  const inFlight = rate === undefined ? concurrency : undefined;
  return runLoad(target, { plans, concurrency: inFlight, onProgress: onLoad });
}

/** Equal parts in order; arrivals begin anew in each. */
export function parts(plans: readonly PlannedRequest[], count: number): PlannedRequest[][] {
  const size = Math.ceil(plans.length / count);
  return Array.from({ length: Math.ceil(plans.length / size) }, (_, index) => {
    const part = plans.slice(index * size, (index + 1) * size);
    const start = index === 0 ? 0 : (part[0]?.arrivalSeconds ?? 0);
    return part.map((plan) => ({ ...plan, arrivalSeconds: plan.arrivalSeconds - start }));
  });
}

function report(options: ServingOptions, sides: Sides, server: ServerProcess | null): ServingReport {
  const { url, model, preset, format, batch } = options;
  const figures = joined(sides.ours);
  const peerFigures = sides.peer.length === 0 ? null : joined(sides.peer);
  const peer = peerFigures?.outputTokensPerSecond ?? null;
  return {
    bench: "serve",
    unit: "tokens/s",
    ours: figures.outputTokensPerSecond,
    peer,
    ratio: peer === null ? null : figures.outputTokensPerSecond / peer,
    model: url === undefined ? source(model, preset) : { preset: null, file: url },
    format: url === undefined ? format : "",
    batch,
    load: loadOf(options),
    figures,
    peerFigures,
    peerInfo: sides.peerInfo,
    occupancy: occupancy(sides.ours.flatMap(({ places }) => places ?? [])),
    memory: server?.memory() ?? null,
    errors: failures(sides.ours),
  };
}

export function loadOf(options: ServingOptions): ServingReport["load"] {
  const { requests, rate, concurrency, promptTokens, outputTokens, seed } = options;
  return {
    requests,
    ...(rate === undefined ? { concurrency } : { rate }),
    promptTokens,
    outputTokens,
    seed,
  };
}

/** Why requests failed: some of the reasons, each once. */
export function failures(turns: readonly LoadOutcome[]): string[] {
  const errors = turns.flatMap((turn) => turn.requests.flatMap(({ error }) => error ?? []));
  return [...new Set(errors)].slice(0, ERRORS_SHOWN);
}

export function source(model: string | undefined, preset: string): ServingReport["model"] {
  if (model === undefined) return { preset, file: preset };
  return { preset: null, file: basename(model) };
}

/** The figures of all turns together. */
export function joined(
  turns: readonly { readonly requests: readonly RequestTimes[]; readonly seconds: number }[],
): LoadFigures {
  const seconds = turns.reduce((sum, turn) => sum + turn.seconds, 0);
  return loadFigures(
    turns.flatMap(({ requests }) => requests),
    seconds,
  );
}
