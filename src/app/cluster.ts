/** I/O: a server's place in a cluster: a member that may hold the lease, the nodes that compute for it, and the journal of streams. */

import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { ClawError } from "../base/mod.ts";
import {
  ClusterServer,
  type Control,
  type ControlAccess,
  type CopyFolder,
  type HostedModel,
  type ModelCosts,
  machineName,
  modelCosts,
  openControl,
  openJournal,
  sourceModule,
} from "../cluster/mod.ts";
import type { ServeOptions } from "../config/mod.ts";
import { type EngineSettings, sizeRuntime } from "../engine/mod.ts";
import { Journal, type JournalStore } from "../journal/mod.ts";
import { KV_PAGE_TOKENS, requireUcx } from "../kernels/mod.ts";
import { type ModelDescription, type ModelSeal, measureSeal, openModelFile } from "../model/mod.ts";
import { Gateway, type GatewayOptions, type LeaseView } from "./gateway.ts";
import { copySettings } from "./ranks.ts";

/** What is to be served. */
export interface ToServe {
  readonly path: string;
  /** Of the engine that is to run. */
  readonly settings: EngineSettings;
  /** Where it is known; else the model is measured, if nodes are to run it. */
  readonly seal: ModelSeal | undefined;
}

export interface RunningCluster {
  readonly gateway: Gateway;
  /**
   * Before the model is loaded. Where nodes run it, becomes a member, since its plan is what is loaded, and resolves to what the
   * engine's thread runs on. E_PLACEMENT, and the errors of `join`.
   */
  begin(model: ToServe): Promise<Pick<EngineSettings, "source"> | undefined>;
  /** When the model is loaded: a member by now, which answers when it holds the lease. E_CONTROL; E_NODE where the name is another's. */
  join(): Promise<void>;
  /** The engine has ended for good: answers nothing more and leaves, so that a server that can answer goes on. */
  leave(): Promise<void>;
  /** Answers nothing more and leaves, so that others need not wait until they miss this server. */
  close(): Promise<void>;
}

type GatewayParts = Omit<GatewayOptions, "lease" | "journal" | "required">;

/** Undefined where none is configured. Errors: E_CONFIG, E_CONTROL, E_CLUSTER_KEY, E_FILE, E_USAGE. */
export async function openCluster(
  options: ServeOptions,
  parts: GatewayParts,
): Promise<RunningCluster | undefined> {
  const access = accessOf(options);
  if (access === undefined) return undefined;
  const control = await openControl(access);
  const store = await openJournal(access).catch(async (error) => {
    await control.store.close();
    throw error;
  });
  return new ClusterSeat(options, parts, { control, store });
}

function accessOf(options: ServeOptions): ControlAccess | undefined {
  const { clusterControl: control, clusterSecretFile: secretFile, clusterBucket: bucket } = options;
  if (control === undefined) return undefined;
  if (secretFile === undefined) {
    throw new ClawError("E_CONFIG", "cluster.control needs cluster.secret_file, too.");
  }
  if (options.clusterLink === "ucx") {
    if (!options.clusterTrustedNetwork) throw untrusted();
    requireUcx();
  }
  const { clusterCredentialsFile: credentialsFile, clusterTlsCa: tlsCa } = options;
  const { clusterTlsCert: tlsCert, clusterTlsKey: tlsKey } = options;
  return { control, secretFile, bucket, credentialsFile, tlsCa, tlsCert, tlsKey };
}

function untrusted(): ClawError {
  const remedy =
    "Set cluster.trusted_network to true where nobody else can read or write on it, or cluster.link to tcp";
  return new ClawError(
    "E_CONFIG",
    `cluster.link is ucx, which does not encrypt what goes over the network. ${remedy}.`,
  );
}

interface Connections {
  readonly control: Control;
  readonly store: JournalStore;
}

const NOBODY: LeaseView = { active: false, epoch: undefined, holder: undefined };

class ClusterSeat implements RunningCluster {
  readonly gateway: Gateway;
  readonly #options: ServeOptions;
  readonly #parts: GatewayParts;
  readonly #connections: Connections;
  #server: ClusterServer | undefined;
  /** The model is loaded, so that streams can go on. */
  #loaded = false;
  #displaced = false;

  constructor(options: ServeOptions, parts: GatewayParts, connections: Connections) {
    const { control, store } = connections;
    this.#options = options;
    this.#parts = parts;
    this.#connections = connections;
    this.gateway = new Gateway({
      ...parts,
      lease: () => this.#lease(),
      journal: new Journal({ store, secret: control.secret, random: randomBytes }),
      required: options.clusterJournal === "required",
    });
  }

  async begin({ path, settings, seal }: ToServe): Promise<Pick<EngineSettings, "source"> | undefined> {
    const { clusterCompute, adapters } = this.#options;
    if (clusterCompute !== "nodes") return undefined;
    if (adapters.length > 0) {
      const remedy = "let the model run in the server (cluster.compute), or merge them into it";
      throw new ClawError("E_PLACEMENT", `A model that runs on nodes takes no adapters: ${remedy}.`);
    }
    const hosted = { path, seal: seal ?? (await measureSeal(path)) };
    const server = await this.#member(hosted, costsOf(describe(path), settings));
    return { source: { module: sourceModule, options: server.source } };
  }

  async join(): Promise<void> {
    if (this.#server === undefined) await this.#member(undefined, undefined);
    this.#loaded = true;
    this.gateway.look();
  }

  async leave(): Promise<void> {
    this.gateway.handOver();
    await this.#server?.close();
  }

  async close(): Promise<void> {
    await this.leave();
    await this.#connections.store.close();
    await this.#connections.control.store.close();
  }

  /** A server that is still loading holds the lease for itself alone: it cannot go on with anybody's streams yet. */
  #lease(): LeaseView {
    const lease = this.#server?.lease() ?? NOBODY;
    return this.#loaded ? lease : { ...lease, active: false, holder: undefined };
  }

  async #member(hosted: HostedModel | undefined, costs: ModelCosts | undefined): Promise<ClusterServer> {
    const { clusterName, clusterHost: host, clusterLink: driver } = this.#options;
    const name = clusterName ?? machineName();
    const { log } = this.#parts;
    const model = hosted && {
      root: hosted.seal.root,
      name: basename(hosted.path).replace(/\.gguf$/i, ""),
    };
    this.#server = await ClusterServer.join({
      ...{ control: this.#connections.control, name, host, driver, model, hosted, costs },
      copies: copyFolderOf(this.#options),
      life: randomBytes(8).toString("hex"),
      clock: () => performance.now(),
      onNote: (text) => log.warn(text),
      onStatus: ({ self }) => {
        this.gateway.look();
        if (self !== "displaced" || this.#displaced) return;
        this.#displaced = true;
        log.error({ name }, "Another server has this one's name: it stands by until it is started again.");
      },
    });
    return this.#server;
  }
}

/** Where copies of pages outlive this process. */
function copyFolderOf(options: ServeOptions): CopyFolder | undefined {
  const { copyFolder: folder, copyBytes: bytesMax = 0 } = copySettings(options);
  return folder === undefined || bytesMax === 0 ? undefined : { folder, bytesMax };
}

function describe(path: string): ModelDescription {
  const { description, close } = openModelFile(path);
  close();
  return description;
}

/** What nodes have to have room for: a full batch, and all of the KV cache. */
function costsOf(model: ModelDescription, settings: EngineSettings): ModelCosts {
  const { format, context, batch, batchMax, rows, kvFormat: asked, kvBytes } = settings;
  const sizes = { format, context, batch, batchMax: batchMax ?? batch, rows, kvFormat: asked, kvBytes };
  const { pagesMax, kvFormat } = sizeRuntime(model, sizes);
  const positions = Math.ceil((pagesMax * KV_PAGE_TOKENS) / batch);
  return modelCosts(model, { format, kvFormat, rows: batch, context: positions });
}
