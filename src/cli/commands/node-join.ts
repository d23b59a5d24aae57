/** I/O: `claw node join`: this machine as a node of a cluster, until it is drained or stopped. */

import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { basename, join, resolve } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { measureNode } from "../../bench/mod.ts";
import {
  ClusterNode,
  type FetchSettings,
  type ModelOnNode,
  machineName,
  NODE_NAME,
  type NodeDescription,
  parseNode,
} from "../../cluster/mod.ts";
import { cacheFolder } from "../../config/folders/mod.ts";
import {
  type ControlOptions,
  choiceOption,
  controlOptions,
  deviceOptions,
  numberOption,
  recordsOption,
  switchOption,
  textOption,
} from "../../config/mod.ts";
import { measureSeal } from "../../model/mod.ts";
import { clusterOf } from "../cluster-access.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { nodeMemoryBytes } from "../machine.ts";

import { note, print, progressLine } from "../terminal.ts";

interface JoinSettings extends ControlOptions {
  readonly name: string | undefined;
  readonly listen: string;
  readonly trustedNetwork: boolean;
  readonly models: readonly { readonly file: string }[];
  readonly fetchBytes: number | undefined;
  readonly memory: number | undefined;
  readonly measurements: string | undefined;
  readonly format: "f16" | "i8" | "i4" | undefined;
  readonly threads: number | undefined;
  readonly graceSeconds: number;
}

const FORMATS = ["i8", "i4", "f16"] as const;
const MODELS_MAX = 32;
const GRACE_SECONDS_MAX = 86_400;
const GRACE_SECONDS_DEFAULT = 60;
/** Rounds whose medians count, of a machine that measures itself to join at once. */
const ROUNDS = 3;

export const nodeJoin: Command = defineCommand<JoinSettings>({
  name: "node join",
  summary: "Makes this machine a node of a cluster: it runs parts of models for the cluster's servers.",
  options: {
    ...controlOptions,
    name: textOption({
      flag: "name",
      placeholder: "NAME",
      meaning: "the node's name, which no other node of the cluster has",
      pattern: NODE_NAME,
      expected: "letters, digits, - and _, at most 64,",
      default: undefined,
      otherwise: "the machine's",
    }),
    listen: textOption({
      flag: "listen",
      placeholder: "HOST:PORT",
      meaning:
        "an address in numbers at which the other nodes and the servers reach this one; port 0 is any free one",
      pattern: /^(?:\[[0-9a-f:]+\]|\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/i,
      expected: "HOST:PORT with an address in numbers",
      default: "127.0.0.1:0",
    }),
    trustedNetwork: switchOption(
      "trusted-network",
      "nobody else can read or write what nodes and servers send each other: ranks may be linked by UCX, which does not encrypt",
    ),
    models: recordsOption({
      flag: "model",
      meaning: "a GGUF model file that it has; may be given again",
      fields: { file: textOption({ placeholder: "FILE", meaning: "its path", default: "" }) },
      required: ["file"],
      oneOf: [],
      max: MODELS_MAX,
      spelling: { placeholder: "FILE", read: (file) => ({ file }) },
    }),
    fetchBytes: numberOption({
      flag: "fetch-bytes",
      unit: "bytes",
      meaning:
        "what slices of models may take on the disk that it lacks and fetches from other nodes and servers; 0: it fetches none",
      range: [0, Number.MAX_SAFE_INTEGER],
      default: undefined,
      otherwise: "64 GiB, or half of the free disk where that is less",
    }),
    memory: numberOption({
      flag: "memory",
      unit: "bytes",
      meaning: "what weights and KV cache may take",
      range: [1, Number.MAX_SAFE_INTEGER],
      default: undefined,
      otherwise: "as measured",
    }),
    measurements: textOption({
      flag: "measurements",
      placeholder: "FILE",
      meaning: "what `claw node measure --json` wrote",
      default: undefined,
      otherwise: "it measures itself first",
    }),
    format: choiceOption({
      flag: "format",
      meaning: "measure weights of one format alone",
      choices: FORMATS,
      default: undefined,
      otherwise: "all",
    }),
    threads: deviceOptions.threads,
    graceSeconds: numberOption({
      flag: "grace-seconds",
      unit: "seconds",
      meaning: "how long it waits, when it is stopped, for plans that do without it",
      range: [0, GRACE_SECONDS_MAX],
      default: GRACE_SECONDS_DEFAULT,
    }),
  },
  run: async (settings) => {
    const listen = addressOf(settings.listen);
    const control = await clusterOf(settings, "node join");
    try {
      const description = await describe(settings);
      const models: ModelOnNode[] = [];
      for (const { file } of settings.models) models.push(await modelOnNode(file));
      const node = await ClusterNode.join({
        ...control,
        ...{ description, models, listen, onNote: note },
        fetch: fetchSettings(settings),
        trustedNetwork: settings.trustedNetwork,
        threads: settings.threads ?? availableParallelism(),
        life: randomBytes(8).toString("hex"),
        command: [process.execPath, ...process.execArgv, process.argv[1] ?? ""],
        clock: () => performance.now(),
      });
      await print(banner(node, description, models));
      stopOnSignal(node, settings.graceSeconds);
      await node.run().finally(() => node.close());
    } finally {
      await control.store.close();
    }
  },
});

function addressOf(listen: string): { readonly host: string; readonly port: number } {
  const colon = listen.lastIndexOf(":");
  const [host, port] = [listen.slice(0, colon).replace(/^\[|\]$/g, ""), Number(listen.slice(colon + 1))];
  if (port > 65_535) throw new ClawError("E_USAGE", `--listen is ${listen}; there is no such port.`);
  if (/^[0.:]+$/.test(host)) {
    throw new ClawError(
      "E_USAGE",
      `--listen is ${listen}; others reach this node at none of its addresses so.`,
    );
  }
  return { host, port };
}

async function describe(settings: JoinSettings): Promise<NodeDescription> {
  const { measurements, memory } = settings;
  const measured = measurements === undefined ? await measure(settings) : parseNode(readText(measurements));
  const name = settings.name ?? (measurements === undefined ? machineName() : measured.name);
  return { ...measured, name, memoryBytes: memory ?? measured.memoryBytes };
}

async function measure({ format, threads }: JoinSettings): Promise<NodeDescription> {
  const measured = await measureNode({
    ...{ preset: "llama-1b", threads, rounds: ROUNDS },
    formats: format === undefined ? FORMATS : [format],
    folder: join(cacheFolder(), "bench"),
    onProgress: progressLine,
  });
  return { name: machineName(), memoryBytes: nodeMemoryBytes(), ...measured };
}

async function modelOnNode(file: string): Promise<ModelOnNode> {
  const path = resolve(file);
  const seal = await measureSeal(path, progressLine(`Reading ${basename(path)}:`));
  return { path, seal, root: seal.root, name: basename(path).replace(/\.gguf$/i, "") };
}

function fetchSettings({ fetchBytes }: JoinSettings): FetchSettings | undefined {
  return fetchBytes === 0 ? undefined : { folder: join(cacheFolder(), "slices"), bytesMax: fetchBytes };
}

function banner({ address }: ClusterNode, { name }: NodeDescription, models: readonly ModelOnNode[]): string {
  const list = models.map((model) => `${model.name} (root ${model.root.slice(0, 16)}…)`).join(", ");
  return `Node ${name} takes links at ${address.host}:${address.port}; it has ${list || "no model"}.\n`;
}

/** The first signal drains it, for as long as the grace; the second one, or the end of the grace, stops it. */
function stopOnSignal(node: ClusterNode, graceSeconds: number): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) return void node.close();
    stopping = true;
    note("Leaving the cluster; a second signal leaves at once.");
    void node.drain();
    setTimeout(() => void node.close(), graceSeconds * 1000).unref();
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
}
