/** What lies under the keys of the control plane, and how it is read: nothing that others wrote is believed to be well-formed. */

import { z } from "zod";
import { type ClusterDescription, type NodeDescription, nodeSchema, type Plan } from "../plan/mod.ts";
import { NODE_RECORD_BYTES_MAX, PLAN_NODES_MAX, PROBLEM_CHARS_MAX, STATE_BYTES_MAX } from "./limits.ts";

/** One life of a node's process. */
export interface Incarnation {
  readonly node: string;
  /** Drawn at random when the process starts. */
  readonly life: string;
}

/** What a node says of itself, again with every heartbeat. */
export interface NodeRecord {
  readonly version: 1;
  readonly life: string;
  readonly beat: number;
  readonly description: NodeDescription;
  /** What it measured of its links to others. */
  readonly links: ClusterDescription["links"];
}

/** The plan in force, made by the holder of the lease. */
export interface PlanRecord {
  /** Grows with every plan, across holders: data-plane messages carry it. */
  readonly version: number;
  /** Whom it was made for, by name. */
  readonly nodes: readonly Incarnation[];
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
  readonly version: 1;
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
  version: z.literal(1),
  life,
  beat: counter,
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
});

const stateSchema: z.ZodType<ClusterState> = z.strictObject({
  version: z.literal(1),
  epoch: counter.min(1),
  holder: incarnation,
  beat: counter,
  plan: z.nullable(
    z.strictObject({
      version: counter.min(1),
      nodes: z.array(incarnation).max(PLAN_NODES_MAX),
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
  return { problem: version === 1 ? "is malformed" : "is of another version" };
}
