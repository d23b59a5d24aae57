/** I/O: the composition root, the only place that starts engines and servers, joins them, and hands them time and chance. */

import { randomBytes, randomUUID } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { cwd } from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import {
  copySettings,
  drained,
  LiveSettings,
  listen,
  openCluster,
  openLedger,
  parallelismOf,
  type RunningCapabilities,
  type RunningCluster,
  rankSettings,
  recorderOf,
  ServedRoot,
  type Sources,
  startCapabilities,
} from "./app/mod.ts";
import { ClawError } from "./base/mod.ts";
import { packedFolder, stateFolder, withStateFolder } from "./config/folders/mod.ts";
import { type Apply, checkExposure, type EngineOptions, type ServeOptions } from "./config/mod.ts";
import {
  type AdapterFolder,
  type EngineChange,
  EngineClient,
  type EngineInfo,
  type EngineSettings,
  STEP_ROWS_DEFAULT,
} from "./engine/mod.ts";
import {
  type ChatTemplate,
  checkTopology,
  type Model,
  type ModelSeal,
  openModel,
  type PackedCacheSettings,
  readOrMakeCacheKey,
  type Tokenizer,
} from "./model/mod.ts";
import { sanctionedSeal } from "./seal/mod.ts";
import {
  type Administration,
  Admission,
  type ApiKey,
  alone,
  anyone,
  Completions,
  createHttpServer,
  createLog,
  expectStream,
  fingerprintOf,
  KeptStreams,
  KeyRing,
  type Log,
  type LogSink,
  modelDigest,
  ownersKey,
  readKeys,
  readOrMakeApiKey,
  type ServedModel,
  ServedModels,
  ServerMetrics,
  type Surroundings,
  takeOver,
  textBytesMax,
} from "./server/mod.ts";

/** How long the last words of answers that were cut off may take. */
const LAST_WORDS_MS = 500;

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

/** Told what the operator should know, in a sentence. */
export type NoteListener = (text: string) => void;

/** What is beside the options of loading a model. */
export interface Loading {
  readonly onProgress?: ProgressListener;
  readonly onNote?: NoteListener;
  /** Told why the engine has ended for good, before its requests are. */
  readonly onEnded?: (error: ClawError) => void;
  /** What the model must be, to the last byte; undefined: anything. */
  readonly seal?: ModelSeal | undefined;
  readonly scrubBytesPerSecond?: number;
  /** How the model is split and where its parts are computed, if not all in this process. */
  readonly ranks?: Partial<EngineSettings> | undefined;
  /** Adapters that requests may name. */
  readonly adapters?: readonly AdapterFolder[] | undefined;
}

/** Where packed weights are kept between starts; undefined where they are not. */
export function packedCacheOf(
  options: Pick<EngineOptions, "packedCache" | "verifyCache" | "cacheBytes">,
  sealed?: ModelSeal,
): PackedCacheSettings | undefined {
  const { packedCache, verifyCache: verify, cacheBytes: bytesMax } = options;
  if (!packedCache) return undefined;
  const settings = { folder: packedFolder(), verify, bytesMax };
  if (sealed === undefined) return settings;
  const key = withStateFolder(stateFolder(), readOrMakeCacheKey);
  return { ...settings, seal: { root: sealed.root, key } };
}

/** Opens and loads the model at `path`. Errors: all that a model file or a machine can be wrong about. */
export async function loadModel(
  path: string,
  options: EngineOptions,
  { seal, scrubBytesPerSecond, adapters, ranks, ...listeners }: Loading = {},
): Promise<LocalModel> {
  // The engine's thread reads weights while this one makes the tokenizer.
  const packedCache = packedCacheOf(options, seal);
  const trusted = { packedCache, seal, scrubBytesPerSecond, adapters };
  const settings = { ...engineSettings(path, options), ...trusted, ...ranks };
  const starting = EngineClient.start(settings, listeners);
  let model: Model;
  let digest: string;
  try {
    model = openModel(path);
    digest = closing(model, (opened) => {
      if (seal !== undefined) checkTopology(opened, seal);
      return modelDigest(opened);
    });
  } catch (error) {
    // What this thread found wrong is said; the engine may have found the same, or it has to end.
    starting.then((engine) => engine.close()).catch(() => {});
    throw error;
  }
  const { tokenizer, template } = model;
  const engine = await starting;
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
  const { format, kvFormat, device, threads, context, maxBatch, kvCacheBytes, prefixCache, prefixShared } =
    options;
  return {
    model,
    format,
    device,
    threads,
    context,
    batch: maxBatch,
    rows: stepRows(options),
    kvBytes: kvCacheBytes,
    prefillChunkTokens: options.prefillChunkTokens,
    swapBytes: options.kvSwapBytes,
    prefixCache,
    prefixShared,
    kvFormat,
    parallelism: { tensor: options.tensorParallelismDegree, pipeline: 1 },
    pinThreads: options.pinThreads,
    lockMemory: options.lockMemory,
  };
}

/** Rows of a step: every running sequence needs one, and prompts what they may have. */
function stepRows({ maxBatch, prefillChunkTokens = 0 }: EngineOptions): number {
  return Math.max(STEP_ROWS_DEFAULT, maxBatch, prefillChunkTokens);
}

/** What is to change in an engine that was started with `first` and came to be `info`; undefined: nothing. */
function engineChange(
  next: ServeOptions,
  before: ServeOptions,
  { first, info }: { readonly first: ServeOptions; readonly info: EngineInfo },
): EngineChange | undefined {
  const limits = (options: ServeOptions): EngineChange => ({
    maxBatch: options.maxBatch,
    prefillChunkTokens: options.prefillChunkTokens ?? stepRows(first),
    kvCacheBytes: options.kvCacheBytes ?? info.kvBytes,
  });
  const parallelism = parallelismOf(next);
  const moved = !isDeepStrictEqual(parallelism, parallelismOf(before));
  if (!moved && isDeepStrictEqual(limits(next), limits(before))) return undefined;
  return moved ? { ...limits(next), parallelism } : limits(next);
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
  /** Receives the log, line by line: text for people where it is a terminal, unless told otherwise. */
  readonly log: LogSink & { readonly isTTY?: boolean };
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
  /** Reads the configuration file again, if there is one. */
  reload(): Promise<void>;
  /** Takes no more requests, lets those that run end for as long as the settings say, then stops. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts to listen, then to load the model at `path`. Errors: E_HOST, E_STATE_DIR, E_PORT_IN_USE, E_CONFIG, those of a seal
 * that is not taken; those of loading come from `ready`.
 */
export async function startServer(
  path: string,
  sources: Sources,
  { version, onProgress, log: sink }: ServerListeners,
): Promise<RunningServer> {
  const settings = new LiveSettings(sources, () => ({ keys, ownKeys, log, loaded: () => ready, configure }));
  const options = settings.current;
  const configure: Apply<ServeOptions> = async (next, before) => {
    const { engine, info } = await loading;
    const change = engineChange(next, before, { first: options, info });
    if (change !== undefined) await engine.configure(change);
  };
  checkExposure(options);
  const log = createLog({ ...options, logFormat: options.logFormat ?? (sink.isTTY ? "text" : "json") }, sink);
  const apiKey = options.authentication ? withStateFolder(stateFolder(), readOrMakeApiKey) : undefined;
  const ownKeys = apiKey === undefined ? [] : [ownersKey(apiKey.key)];
  const anonymous = apiKey === undefined ? anyone : undefined;
  const keys = new KeyRing([...ownKeys, ...readKeys(options.apiKeys)], anonymous);
  const adapters = adaptersOf(options);
  const trusted = trustedLoading(path, options);
  const root = new ServedRoot(path, trusted.seal, log);
  const ledger = await openLedger(options, surroundings, log);
  const tokens = apiKey === undefined ? undefined : openTokens(options, log);
  const id = modelId(path);
  const models = servedModels(id, adapters);
  const isReady = (): boolean => models.health().ready;
  const admission = new Admission(() => settings.current);
  const streams = new KeptStreams({ settings: () => settings.current, timeout: surroundings.timeout });
  const completions = new Completions({ models, surroundings, admission, streams });
  const metrics = metricsOf(models, id, { tokens, ledger, streams });
  const capabilities = tokens?.capabilities;
  const inheriting = { completions, models, surroundings, capabilities, metrics, log };
  const cluster = await clusterOf(options, streams, inheriting).catch(closeAndThrow(ledger, tokens));
  const http = createHttpServer({
    models,
    completions,
    surroundings,
    keys,
    capabilities,
    ledger,
    admission,
    streams,
    standing: cluster?.gateway ?? alone,
    settings: () => settings.current,
    log,
    metrics,
    administration: { ...administered(settings, sources), isReady, revoke: tokens?.revoke },
  });
  const url = await listen(http, options).catch(closeAndThrow(cluster, ledger, tokens));
  const listeners = loadingListeners({ models, log, cluster, onProgress });
  const loading = ranksOf(path, options, { cluster, root, seal: trusted.seal }).then((ranks) =>
    loadModel(path, options, { ...listeners, ...trusted, adapters, ranks }),
  );
  const ready = loading.then(async (model) => {
    const recorder = await recorderOf(ledger, { root, info: model.info, version });
    const named = (tokens ?? cluster) && root.find().then((found) => found?.root);
    models.ready({ ...servedModel(id, model, version), root: named, recorder }, model.info.adapters);
    await joinCluster(cluster, root);
    return model.info;
  });
  const parts = { unwatch: settings.watch(), root, admission, http, loading, tokens, ledger, cluster };
  const close = (graceMs = settings.current.shutdownGraceSeconds * 1000): Promise<void> =>
    stop(parts, graceMs);
  return { url, model: id, apiKey, ready, reload: () => settings.reload(), close };
}

interface Told {
  readonly models: ServedModels;
  readonly log: Log;
  readonly cluster: RunningCluster | undefined;
  readonly onProgress: ProgressListener;
}

/** Who hears of the engine: how far it is, what an operator should know, and that it has ended for good. */
function loadingListeners({ models, log, cluster, onProgress }: Told): Loading {
  return {
    onProgress: (fraction) => {
      models.advance(fraction);
      onProgress(fraction);
    },
    onNote: (text) => log.warn(text),
    onEnded: ({ code, message: reason }) => {
      log.error({ code, reason }, "The engine has ended: start this server again.");
      void cluster?.leave();
    },
  };
}

interface RunningParts extends Omit<Counted, "streams"> {
  readonly unwatch: () => void;
  readonly root: ServedRoot;
  readonly admission: Admission;
  readonly http: ReturnType<typeof createHttpServer>;
  readonly loading: Promise<LocalModel>;
  readonly cluster: RunningCluster | undefined;
}

/** Takes nothing more, lets what runs end for so long, then ends it. */
async function stop(
  { unwatch, root, admission, http, loading, tokens, ledger, cluster }: RunningParts,
  graceMs: number,
): Promise<void> {
  unwatch();
  root.close();
  admission.drain();
  await Promise.race([admission.emptied(), delay(graceMs, undefined, { ref: false })]);
  await cluster?.close();
  const closed = http.close();
  await loading.then(({ engine }) => engine.close()).catch(() => {});
  await drained(http, LAST_WORDS_MS);
  http.server.closeAllConnections();
  await closed;
  await tokens?.close();
  await ledger?.close();
}

function servedModels(id: string, adapters: readonly AdapterFolder[]): ServedModels {
  const names = adapters.map(({ name }) => name);
  return new ServedModels(id, Math.floor(surroundings.now() / 1000), names);
}

/** The configuration, its file, and the folder that its paths start from. */
function administered(
  { configuration }: LiveSettings,
  { file }: Sources,
): Pick<Administration, "configuration" | "file" | "folder"> {
  return { configuration, file, folder: file === undefined ? cwd() : dirname(file) };
}

/** What the model has to be, where there is a trust policy, and how its weights are looked after. */
function trustedLoading(
  path: string,
  { sealTrust, sealBundle: bundle, scrubBytesPerSecond }: ServeOptions,
): Pick<Loading, "seal" | "scrubBytesPerSecond"> {
  if (sealTrust.length === 0) return { scrubBytesPerSecond };
  return { seal: sanctionedSeal(sealTrust, { path, name: modelId(path), bundle }), scrubBytesPerSecond };
}

/** Errors: E_CONFIG where two have one name; E_UNSEALED where only sealed models are served, since adapters have no seals. */
function adaptersOf({ adapters, sealTrust }: ServeOptions): readonly AdapterFolder[] {
  const names = adapters.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new ClawError("E_CONFIG", `There are two adapters ${JSON.stringify(twice)}.`);
  if (sealTrust.length === 0 || adapters.length === 0) return adapters;
  const why = "only sealed models are served (seal.trust), and an adapter has no seal";
  throw new ClawError("E_UNSEALED", `The adapter ${names[0]} cannot be served: ${why}.`);
}

/** Undefined where none is configured. Errors: those of `openCluster`. */
async function clusterOf(
  options: ServeOptions,
  streams: KeptStreams,
  inheriting: Parameters<typeof takeOver>[2] & { readonly metrics: ServerMetrics },
): Promise<RunningCluster | undefined> {
  const { completions, metrics, log } = inheriting;
  const { clock, timeout } = surroundings;
  const cluster = await openCluster(options, {
    ...{ streams, clock, timeout, log },
    takeOver: (found, taking) => takeOver(found, taking, inheriting),
    // Elsewhere there is nothing of a stream that could be brought near.
    expect:
      copySettings(options).copyFolder === undefined ? undefined : (found) => expectStream(found, inheriting),
  });
  if (cluster === undefined) return undefined;
  metrics.addGateway({ gateway: () => cluster.gateway.counts, journal: () => completions.journalCounts });
  return cluster;
}

/** Where the model is computed: here, in processes of this machine, or on the nodes of a cluster. Errors: those of joining it. */
async function ranksOf(
  path: string,
  options: ServeOptions,
  { cluster, root, seal }: Pick<RunningParts, "cluster" | "root"> & { readonly seal: ModelSeal | undefined },
): Promise<Loading["ranks"]> {
  const nodes = await cluster?.begin({ path, settings: engineSettings(path, options), seal });
  const settings = rankSettings(options);
  if (cluster === undefined || settings.copyFolder === undefined) return { ...settings, ...nodes };
  // Servers of other machines have files of their own. Joining waits for it anyway.
  return { ...settings, ...nodes, copyRoot: (await root.find())?.root };
}

/** Errors: those of joining; E_FILE for a model that has no root, by which servers know that theirs is the same. */
async function joinCluster(cluster: RunningCluster | undefined, root: ServedRoot): Promise<void> {
  if (cluster === undefined) return;
  if ((await root.find()) === undefined) {
    throw new ClawError("E_FILE", "The model file was changed while it was read; start again.");
  }
  await cluster.join();
}

/** Lets go of what was opened before something failed. */
function closeAndThrow(
  ...parts: readonly ({ close(): Promise<void> } | undefined)[]
): (error: unknown) => Promise<never> {
  return async (error) => {
    await Promise.all(parts.map((part) => part?.close()));
    throw error;
  };
}

interface Counted {
  readonly tokens: RunningCapabilities | undefined;
  readonly ledger: Awaited<ReturnType<typeof openLedger>>;
  readonly streams: KeptStreams;
}

function metricsOf(models: ServedModels, id: string, { tokens, ledger, streams }: Counted): ServerMetrics {
  const metrics = new ServerMetrics(id, () => models.metrics());
  metrics.addStreams(() => streams.counts);
  if (ledger !== undefined) metrics.addLedger(() => ledger.counts);
  if (tokens !== undefined) metrics.addCapabilities(tokens.capabilities.counts);
  return metrics;
}

function openTokens({ biscuit, biscuitFolder }: ServeOptions, log: Log): RunningCapabilities | undefined {
  const folder = biscuitFolder ?? join(stateFolder(), "tokens");
  return biscuit ? startCapabilities(folder, surroundings.now, log) : undefined;
}

/** Time and chance. */
const surroundings: Surroundings = {
  now: Date.now,
  randomSeed,
  randomId: () => randomUUID().replaceAll("-", ""),
  clock: () => performance.now(),
  timeout: (milliseconds, expire) => {
    const timer = setTimeout(expire, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};

function servedModel(id: string, model: LocalModel, version: string): ServedModel {
  const { tokenizer, template, engine, info, digest } = model;
  const { context } = info;
  return {
    id,
    tokenizer,
    template,
    context,
    textBytesMax: textBytesMax(tokenizer, context),
    fingerprint: fingerprintOf(version, info, digest),
    generator: engine,
    load: () => engine.load,
    metrics: () => {
      const snapshot = engine.metrics.read();
      // The engine's gauges are as of its last step; its load also changes without one.
      return { ...snapshot, gauges: { ...snapshot.gauges, ...engine.load } };
    },
    failure: () => engine.failure,
  };
}
