/** What a server's parts are surrounded by, without an engine, clock or chance. */

import { asClawError } from "../../src/base/mod.ts";
import { RequestAccount } from "../../src/server/account.ts";
import { type Asker, Completions, type Surroundings } from "../../src/server/completions.ts";
import {
  Admission,
  alone,
  anyone,
  type createHttpServer,
  createLog,
  KeptStreams,
  KeyRing,
  type ServedModels,
  ServerMetrics,
} from "../../src/server/mod.ts";
import { always } from "../../src/server/streams/standing.ts";

const surroundings: Surroundings = {
  now: () => 0,
  randomSeed: () => 0,
  randomId: () => "id",
  clock: () => 0,
  timeout: () => () => {},
};

/** A server's options but for its models, and what answers with them. */
export function bareServer(): Omit<Parameters<typeof createHttpServer>[0], "models" | "completions"> {
  return {
    surroundings,
    keys: new KeyRing([], anyone),
    admission: new Admission(() => ({ maxBatch: 16, maxQueueSize: 16 })),
    streams: new KeptStreams({
      settings: () => ({
        streamsResumable: "asked",
        streamsLingerSeconds: 30,
        streamsKeptBytes: 1 << 20,
      }),
      timeout: surroundings.timeout,
    }),
    standing: alone,
    settings: () => ({ adminRemote: false, metricsAuthentication: true, requestTimeoutSeconds: 1 }),
    log: createLog({ logLevel: "error", logFormat: "json" }, { write: () => {} }),
    metrics: new ServerMetrics("bare", () => undefined),
    administration: undefined,
  };
}

export function bareCompletions(models: ServedModels): Completions {
  return new Completions({ ...bareServer(), models });
}

export function makeAsker(): Asker {
  const signal = new AbortController().signal;
  return {
    id: "id",
    account: new RequestAccount(() => 0, new ServerMetrics("bare", () => undefined)),
    signal,
    timeoutMs: 1000,
    report: asClawError,
    onEnd: () => {},
    tenure: always,
  };
}
