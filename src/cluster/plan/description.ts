/** What the planner knows of nodes and the links between them: measured, as plain data. */

import { z } from "zod";
import { ClawError } from "../../base/mod.ts";
import type { WeightFormat } from "../../kernels/mod.ts";
import { DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX, NODES_MAX } from "./limits.ts";

/** How fast a node multiplies by weights of one format. */
export interface FormatSpeed {
  /** Packed weights it works through in decoding, one row at a time. */
  readonly bytesPerSecond: number;
  /** Of many rows at once. */
  readonly multiplyAddsPerSecond: number;
}

export interface NodeDescription {
  readonly name: string;
  /** What weights, KV cache and buffers may take. */
  readonly memoryBytes: number;
  /** A node takes part only in formats it was measured with. */
  readonly formats: Readonly<Partial<Record<WeightFormat, FormatSpeed>>>;
  /** Keys and values that attention works through. */
  readonly kvBytesPerSecond: number;
  /** What a layer takes beside its matrices and its attention. */
  readonly layerSeconds: number;
}

export interface LinkSpeed {
  /** One way, of a small message. */
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

export interface LinkDescription extends LinkSpeed {
  /** Names of two nodes; the slower direction counts. */
  readonly between: readonly [string, string];
}

export interface ClusterDescription {
  readonly nodes: readonly NodeDescription[];
  readonly links: readonly LinkDescription[];
  /** The link of every pair that `links` does not name; without it, such pairs cannot speak to each other. */
  readonly network?: LinkSpeed | undefined;
}

const positive: z.ZodNumber = z.number().positive();
const name: z.ZodString = z
  .string()
  .max(NAME_CHARS_MAX)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, "letters, digits, - and _ were expected");
const speed: z.ZodType<FormatSpeed> = z.strictObject({
  bytesPerSecond: positive,
  multiplyAddsPerSecond: positive,
});
const linkSpeed = { latencySeconds: z.number().nonnegative(), bytesPerSecond: positive };

export const nodeSchema: z.ZodType<NodeDescription> = z.strictObject({
  name,
  memoryBytes: z.int().nonnegative(),
  formats: z.strictObject({ f16: speed.optional(), i8: speed.optional(), i4: speed.optional() }),
  kvBytesPerSecond: positive,
  layerSeconds: z.number().nonnegative(),
}) as z.ZodType<NodeDescription>;

const clusterSchema: z.ZodType<ClusterDescription> = z.strictObject({
  nodes: z.array(nodeSchema).min(1).max(NODES_MAX),
  links: z
    .array(z.strictObject({ between: z.tuple([name, name]), ...linkSpeed }))
    .max((NODES_MAX * (NODES_MAX - 1)) / 2)
    .default([]),
  network: z.strictObject(linkSpeed).optional(),
});

/** Reads a description of nodes and links. E_NODES names the place of what is wrong. */
export function parseCluster(text: string): ClusterDescription {
  const cluster = parse(clusterSchema, text, "The description of the nodes");
  checkNames(cluster);
  return cluster;
}

/** Reads what `claw node measure --json` wrote. E_NODES names the place of what is wrong. */
export function parseNode(text: string): NodeDescription {
  return parse(nodeSchema, text, "The description of the node");
}

function parse<T>(schema: z.ZodType<T>, text: string, what: string): T {
  const result = schema.safeParse(parseJson(text, what));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "it" : issue.path.join(".");
  throw new ClawError("E_NODES", `${what} is wrong at ${place}: ${issue?.message}.`);
}

function parseJson(text: string, what: string): unknown {
  if (text.length > DESCRIPTION_CHARS_MAX) {
    throw new ClawError("E_NODES", `${what} has ${text.length} letters; that is too many.`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ClawError("E_NODES", `${what} is not JSON.`, { cause: error });
  }
}

function checkNames({ nodes, links }: ClusterDescription): void {
  const refuse = (problem: string): never => {
    throw new ClawError("E_NODES", problem);
  };
  const names = new Set(nodes.map((node) => node.name));
  if (names.size !== nodes.length) refuse("Two nodes of the description have the same name.");
  const pairs = new Set<string>();
  for (const { between } of links) {
    const [a, b] = between.toSorted();
    const unknown = between.find((end) => !names.has(end));
    if (unknown !== undefined) refuse(`A link leads to ${unknown}, which is no node of the description.`);
    if (a === b) refuse(`A link leads from ${a} to itself.`);
    if (pairs.has(`${a} ${b}`)) refuse(`There are two links between ${a} and ${b}.`);
    pairs.add(`${a} ${b}`);
  }
}
