/** I/O: the composition root, the only place that starts engines and servers, joins them, and hands them time and chance. */

import { randomBytes, randomUUID } from "node:crypto";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { ClawError } from "./base/mod.ts";
import { stateFolder, withStateFolder } from "./config/folders/mod.ts";
import { checkExposure, type EngineOptions, type ServeOptions } from "./config/mod.ts";
import { EngineClient, type EngineInfo, type EngineSettings, STEP_ROWS_DEFAULT } from "./engine/mod.ts";
import { type ChatTemplate, type Model, openModel, type Tokenizer } from "./model/mod.ts";
import {
  type ApiKey,
  createHttpServer,
  fingerprintOf,
  modelDigest,
  readOrMakeApiKey,
  ServedModels,
  type Surroundings,
  textBytesMax,
} from "./server/mod.ts";

/** How long requests may go on after the server was told to stop, and then how long their last words may take. */
const SHUTDOWN_GRACE_MS = 10_000;
const LAST_WORDS_MS = 500;
const POLL_MS = 20;

/** A model loaded in this process. */
export interface LocalModel {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly engine: EngineClient;
  readonly info: EngineInfo;
  /** What of the file pins the answers: see `modelDigest`. */
  readonly digest: string;
}

export type ProgressListener = (fraction: number) => void;

/** Opens and loads the model at `path`. Errors: all that a model file or a machine can be wrong about. */
export async function loadModel(
  path: string,
  options: EngineOptions,
  onProgress?: ProgressListener,
): Promise<LocalModel> {
  const model = openModel(path);
  const { tokenizer, template } = model;
  const digest = closing(model, modelDigest);
  const engine = await EngineClient.start(engineSettings(path, options), { onProgress });
  return { tokenizer, template, engine, info: engine.info, digest };
}

function closing<T>(model: Model, use: (model: Model) => T): T {
  try {
    return use(model);
  } finally {
    model.close();
  }
}

function engineSettings(model: string, options: EngineOptions): EngineSettings {
  const { format, kvFormat, device, threads, context, maxBatch, kvCacheBytes } = options;
  return {
    model,
    format,
    device,
    threads,
    context,
    batch: maxBatch,
    // Every running sequence needs a row in each step.
    rows: Math.max(STEP_ROWS_DEFAULT, maxBatch),
    kvBytes: kvCacheBytes,
    kvFormat,
    degree: options.tensorParallelismDegree,
  };
}

/** The name under which a file is served. */
export function modelId(path: string): string {
  return basename(path).replace(/\.gguf$/i, "");
}

/** 53 random bits. */
export function randomSeed(): number {
  return Number(randomBytes(8).readBigUInt64LE() >> 11n);
}

export interface ServerListeners {
  readonly version: string;
  readonly onProgress: ProgressListener;
  readonly onFailure: (error: ClawError, requestId: string) => void;
  readonly log: { write(line: string): void } | undefined;
}

/** A server that listens; its model may still be loading. */
export interface RunningServer {
  /** `http://127.0.0.1:8080` */
  readonly url: string;
  readonly model: string;
  /** Undefined where none is asked for. */
  readonly apiKey: ApiKey | undefined;
  /** Settles when the model is loaded, or could not be. */
  readonly ready: Promise<EngineInfo>;
  /** Takes no more requests, lets those that run end for a while, then stops. */
  close(graceMs?: number): Promise<void>;
}

/** Starts to listen, then to load. Errors: E_HOST, E_STATE_DIR, E_PORT_IN_USE; those of loading come from `ready`. */
export async function startServer(
  options: ServeOptions & { readonly model: string },
  { version, onProgress, onFailure, log }: ServerListeners,
): Promise<RunningServer> {
  checkExposure(options);
  const apiKey = options.noAuth ? undefined : withStateFolder(stateFolder(), readOrMakeApiKey);
  const surroundings: Surroundings = {
    now: Date.now,
    randomSeed,
    randomId: () => randomUUID().replaceAll("-", ""),
  };
  const id = modelId(options.model);
  const models = new ServedModels(id, Math.floor(surroundings.now() / 1000));
  const http = createHttpServer({ models, surroundings, apiKey: apiKey?.key, onFailure, log });
  const url = await listen(http, options);
  const loading = loadModel(options.model, options, (fraction) => {
    models.advance(fraction);
    onProgress(fraction);
  });
  const ready = loading.then(({ tokenizer, template, engine, info, digest }) => {
    const { context } = info;
    models.ready({
      id,
      tokenizer,
      template,
      context,
      textBytesMax: textBytesMax(tokenizer, context),
      fingerprint: fingerprintOf(version, info, digest),
      generator: engine,
      load: () => engine.load,
      failure: () => engine.failure,
    });
    return info;
  });
  const close = async (graceMs = SHUTDOWN_GRACE_MS): Promise<void> => {
    const closed = http.close();
    await drained(http, graceMs);
    await loading.then(({ engine }) => engine.close()).catch(() => {});
    await drained(http, LAST_WORDS_MS);
    http.server.closeAllConnections();
    await closed;
  };
  return { url, model: id, apiKey, ready, close };
}

async function listen(http: FastifyInstance, { host, port }: ServeOptions): Promise<string> {
  try {
    return await http.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EADDRINUSE") {
      throw new ClawError("E_PORT_IN_USE", `Port ${port} on ${host} is taken.`, { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_HOST", `Cannot listen on ${host}, port ${port}: ${reason}.`, { cause: error });
  }
}

/** Waits until a closing server has no connections, but not for longer than `waitMs`. */
async function drained(http: FastifyInstance, waitMs: number): Promise<void> {
  const connections = (): Promise<number> =>
    new Promise((resolve) => http.server.getConnections((_, count) => resolve(count)));
  for (let waited = 0; waited < waitMs; waited += POLL_MS) {
    // Connections kept alive for another request would keep the server, too.
    http.server.closeIdleConnections();
    if ((await connections()) === 0) return;
    await delay(POLL_MS);
  }
}
