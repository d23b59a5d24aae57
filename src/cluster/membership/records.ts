/** What lies under the keys of the control plane, and how it is read: nothing that others wrote is believed to be well-formed. */

import { z } from "zod";
import { type ClusterDescription, type NodeDescription, nodeSchema, type Plan } from "../plan/mod.ts";
import {
  DROP_REASONS_MAX,
  MODELS_MAX,
  NODE_RECORD_BYTES_MAX,
  PLAN_NODES_MAX,
  PROBLEM_CHARS_MAX,
  RANKS_LISTED_MAX,
  RECORDS_MAX,
  STATE_BYTES_MAX,
} from "./limits.ts";

/** One life of a node's process. */
export interface Incarnation {
  readonly node: string;
  /** Drawn at random when the process starts. */
  readonly life: string;
}

/** Of everything that lies under the control plane's keys. */
export const CONTROL_VERSION = 3;

/** A model file that a node has. */
export interface HeldModel {
  /** The root of its seal, in hexadecimal: files of one root are one model, to the last byte. */
  readonly root: string;
  readonly name: string;
}

/** What has to be alike where ranks work together. */
export interface Dialect {
  /** Of what ranks and the engine's process say to each other. */
  readonly protocol: number;
  readonly arithmetic: number;
}

/** What plans depend on. */
export interface NodeOffer {
  readonly description: NodeDescription;
  /** What it measured of its links to others. */
  readonly links: ClusterDescription["links"];
  readonly models: readonly HeldModel[];
  /** Of models that it lacks it fetches what its ranks read. */
  readonly fetches: boolean;
  /** It takes no new ranks, and leaves when it has none any more. */
  readonly draining: boolean;
}

/** What a node counts beside. */
export interface NodeCounts {
  /** The ranks that run on it, and for which epoch of the work. */
  readonly work: { readonly epoch: number; readonly ranks: readonly number[] };
  /** Peers that it refused a link, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  readonly slices: SliceCounts;
}

/** Bytes of parts of models that went from node to node. */
export interface SliceCounts {
  /** That this node's ranks fetched. */
  readonly fetched: number;
  /** That it handed out to others. */
  readonly handedOut: number;
  /** The slice that is being fetched, as far as it is there; null: none. */
  readonly fetching: { readonly done: number; readonly total: number } | null;
}

export const NO_SLICES: SliceCounts = { fetched: 0, handedOut: 0, fetching: null };

/** What a node says of itself, again with every heartbeat. */
export interface NodeRecord extends NodeOffer, NodeCounts {
  readonly version: typeof CONTROL_VERSION;
  readonly life: string;
  readonly beat: number;
  /** Grows with every change of its offer. */
  readonly edition: number;
  /** Servers hold the lease and make plans; nodes run ranks. */
  readonly role: NodeRole;
  /** Where it takes links; null: nowhere. */
  readonly address: NodeAddress | null;
  readonly dialect: Dialect;
}

export type NodeRole = "node" | "server";

export interface NodeAddress {
  /** In numbers. */
  readonly host: string;
  readonly port: number;
}

/** What a plan was made for: a node's life, and which of its offers. */
export interface PlannedNode extends Incarnation {
  readonly edition: number;
}

/** How a plan has to be split, by whoever runs the cluster. */
export interface PrescribedDegrees {
  /** Nodes that share every layer. */
  readonly tensor: number | null;
  /** Stages. */
  readonly pipeline: number | null;
}

export const NO_DEGREES: PrescribedDegrees = { tensor: null, pipeline: null };

/** The plan in force, made by the holder of the lease. */
export interface PlanRecord {
  /** Grows with every plan, across holders: data-plane messages carry it. */
  readonly version: number;
  /** Of the holder that made it. */
  readonly epoch: number;
  /** Whom it was made for, by name. */
  readonly nodes: readonly PlannedNode[];
  /** What was prescribed for it; null: nothing. */
  readonly degrees: PrescribedDegrees;
  /** Null where none fits. */
  readonly plan: Plan | null;
  /** Why there is none. */
  readonly problem: string | null;
}

/**
 * The lease and what its holder decides, in one document: a holder that was overtaken cannot write either of them, since both
 * are written over one revision.
 */
export interface ClusterState {
  readonly version: typeof CONTROL_VERSION;
  /** Grows with every new holder. */
  readonly epoch: number;
  readonly holder: Incarnation;
  readonly beat: number;
  readonly plan: PlanRecord | null;
}

export const STATE_KEY = "state";
const NODE_PREFIX = "node.";

export function nodeKey(name: string): string {
  return `${NODE_PREFIX}${name}`;
}

const counter: z.ZodInt = z.int().min(0);
const name: z.ZodString = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);
const life: z.ZodString = z.string().regex(/^[0-9a-f]{16}$/);
const incarnation: z.ZodType<Incarnation> = z.strictObject({ node: name, life });
const planned: z.ZodType<PlannedNode> = z.strictObject({ node: name, life, edition: counter });
const range = z.tuple([counter.max(1024), counter.max(1024)]);

const planSchema: z.ZodType<Plan> = z.strictObject({
  model: z.string().max(1024),
  format: z.enum(["f16", "i8", "i4"]),
  stages: z
    .array(
      z.strictObject({
        layers: range,
        ranks: z
          .array(z.strictObject({ node: name, attention: range, ffn: range }))
          .min(1)
          .max(PLAN_NODES_MAX),
      }),
    )
    .min(1)
    .max(PLAN_NODES_MAX),
  output: name,
});

const nodeRecordSchema: z.ZodType<NodeRecord> = z.strictObject({
  version: z.literal(CONTROL_VERSION),
  life,
  beat: counter,
  edition: counter,
  role: z.enum(["node", "server"]),
  address: z.nullable(
    z.strictObject({ host: z.union([z.ipv4(), z.ipv6()]), port: z.int().min(1).max(65_535) }),
  ),
  dialect: z.strictObject({ protocol: counter, arithmetic: counter }),
  description: nodeSchema,
  links: z
    .array(
      z.strictObject({
        between: z.tuple([name, name]),
        latencySeconds: z.number().nonnegative(),
        bytesPerSecond: z.number().positive(),
      }),
    )
    .max(PLAN_NODES_MAX),
  models: z
    .array(z.strictObject({ root: z.string().regex(/^[0-9a-f]{64}$/), name: z.string().max(256) }))
    .max(MODELS_MAX),
  fetches: z.boolean(),
  draining: z.boolean(),
  work: z.strictObject({ epoch: counter, ranks: z.array(counter).max(RANKS_LISTED_MAX) }),
  refused: z
    .record(z.string().max(64), counter)
    .refine((counts) => Object.keys(counts).length <= DROP_REASONS_MAX),
  slices: z.strictObject({
    ...{ fetched: counter, handedOut: counter },
    fetching: z.nullable(z.strictObject({ done: counter, total: counter })),
  }),
});

const stateSchema: z.ZodType<ClusterState> = z.strictObject({
  version: z.literal(CONTROL_VERSION),
  epoch: counter.min(1),
  holder: incarnation,
  beat: counter,
  plan: z.nullable(
    z.strictObject({
      version: counter.min(1),
      epoch: counter.min(1),
      nodes: z.array(planned).max(RECORDS_MAX + 1),
      degrees: z.strictObject({ tensor: z.nullable(counter.min(1)), pipeline: z.nullable(counter.min(1)) }),
      plan: z.nullable(planSchema),
      problem: z.nullable(z.string().max(PROBLEM_CHARS_MAX)),
    }),
  ),
});

/** A document, or why it is none. */
export type Reading<T> = { readonly value: T } | { readonly problem: string };

/** Reads the record under a node's key. */
export function readNodeRecord(bytes: Uint8Array, key: string): Reading<NodeRecord> {
  const reading = readDocument(nodeRecordSchema, bytes, NODE_RECORD_BYTES_MAX);
  if ("value" in reading && nodeKey(reading.value.description.name) !== key) {
    return { problem: "names another node than its key" };
  }
  return reading;
}

export function readState(bytes: Uint8Array): Reading<ClusterState> {
  return readDocument(stateSchema, bytes, STATE_BYTES_MAX);
}

/** Which reader a key asks for. */
export function kindOf(key: string): "state" | "node" | "unknown" {
  if (key === STATE_KEY) return "state";
  return key.startsWith(NODE_PREFIX) && name.safeParse(key.slice(NODE_PREFIX.length)).success
    ? "node"
    : "unknown";
}

export function writeDocument(document: NodeRecord | ClusterState): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document));
}

function readDocument<T>(schema: z.ZodType<T>, bytes: Uint8Array, bytesMax: number): Reading<T> {
  if (bytes.length > bytesMax) return { problem: "is too large" };
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return { problem: "is not JSON" };
  }
  const result = schema.safeParse(document);
  if (result.success) return { value: result.data };
  const version = (document as { readonly version?: unknown } | null)?.version;
  return { problem: version === CONTROL_VERSION ? "is malformed" : "is of another version" };
}
