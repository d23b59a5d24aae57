/** I/O: a server's place in a cluster: a member that may hold the lease, and the journal of streams. */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ClawError } from "../base/mod.ts";
import {
  Agent,
  type Control,
  type ControlAccess,
  machineName,
  openControl,
  openJournal,
  PROTOCOL_VERSION,
  TIMING_DEFAULT,
} from "../cluster/mod.ts";
import type { ServeOptions } from "../config/mod.ts";
import { Journal, type JournalStore } from "../journal/mod.ts";
import { ARITHMETIC_VERSION } from "../kernels/mod.ts";
import { Gateway, type GatewayOptions, type LeaseView } from "./gateway.ts";

export interface RunningCluster {
  readonly gateway: Gateway;
  /** Becomes a member, which may hold the lease: when the model is loaded. E_CONTROL; E_NODE where the name is another's. */
  join(): Promise<void>;
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
  const { clusterCredentialsFile: credentialsFile, clusterTlsCa: tlsCa } = options;
  const { clusterTlsCert: tlsCert, clusterTlsKey: tlsKey } = options;
  return { control, secretFile, bucket, credentialsFile, tlsCa, tlsCert, tlsKey };
}

interface Connections {
  readonly control: Control;
  readonly store: JournalStore;
}

const NOBODY: LeaseView = { active: false, epoch: undefined, holder: undefined };

class ClusterSeat implements RunningCluster {
  readonly gateway: Gateway;
  readonly #name: string;
  readonly #parts: GatewayParts;
  readonly #connections: Connections;
  #agent: Agent | undefined;

  constructor(options: ServeOptions, parts: GatewayParts, connections: Connections) {
    const { control, store } = connections;
    this.#name = options.clusterName ?? machineName();
    this.#parts = parts;
    this.#connections = connections;
    this.gateway = new Gateway({
      ...parts,
      lease: () => this.#agent?.lease() ?? NOBODY,
      journal: new Journal({ store, secret: control.secret, random: randomBytes }),
      required: options.clusterJournal === "required",
    });
  }

  async join(): Promise<void> {
    const name = this.#name;
    const agent = await this.#startAgent();
    this.#agent = agent;
    for (;;) {
      const { self } = agent.status();
      if (self === "member") return;
      if (self === "taken" || self === "displaced") {
        throw new ClawError("E_NODE", `The name ${name} is another server's; give this one its own.`);
      }
      await sleep(TIMING_DEFAULT.heartbeatMs / 4);
    }
  }

  async close(): Promise<void> {
    this.gateway.handOver();
    await this.#agent?.leave();
    await this.#connections.store.close();
    await this.#connections.control.store.close();
  }

  #startAgent(): Promise<Agent> {
    const { store, secret } = this.#connections.control;
    let known: string | undefined;
    return Agent.start({
      store,
      secret,
      timing: TIMING_DEFAULT,
      clock: () => performance.now(),
      self: {
        life: randomBytes(8).toString("hex"),
        role: "server",
        // It computes for itself alone: nothing of it is to be planned with.
        description: { name: this.#name, memoryBytes: 0, formats: {}, kvBytesPerSecond: 1, layerSeconds: 0 },
        links: [],
        models: [],
        draining: false,
        work: { epoch: 0, ranks: [] },
        refused: {},
        address: null,
        dialect: { protocol: PROTOCOL_VERSION, arithmetic: ARITHMETIC_VERSION },
      },
      plan: (_, done) => done({ plan: null, problem: "Servers compute for themselves." }),
      onStatus: ({ self }) => {
        this.gateway.look();
        if (self === "displaced" && known !== self) {
          const { log } = this.#parts;
          log.error(
            { name: this.#name },
            "Another server has this one's name: it stands by until it is started again.",
          );
        }
        known = self;
      },
    });
  }
}
