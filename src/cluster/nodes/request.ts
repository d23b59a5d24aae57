/** What nodes are asked over links, and what they answer: one message of JSON each. */

import { z } from "zod";
import { asClawError, ClawError, type ErrorCode, errorTable } from "../../base/mod.ts";
import { fromUtf8, utf8 } from "../../crypto/mod.ts";
import type { Link, LinkAddress } from "../../kernels/mod.ts";
import { connectPeer, type LinkSettings } from "../link/mod.ts";
import type { NodeAddress } from "../membership/mod.ts";
import {
  ANSWER_MS,
  ASK_MS,
  END_PATIENCE_MS,
  REASON_CHARS_MAX,
  REQUEST_BYTES_MAX,
  REQUEST_MS,
} from "./limits.ts";

/**
 * Links on which nodes are asked belong to no plan: their epoch is this one. What is asked for a plan carries its epoch, and the
 * node's fence decides.
 */
const REQUEST_EPOCH = 0;

/** A rank of a plan. */
export interface StartRequest {
  readonly kind: "start";
  /** Of the work. */
  readonly epoch: number;
  readonly rank: number;
  /** Of the model that it takes part in. */
  readonly root: string;
  /** Where the process with the engine listens. */
  readonly engine: LinkAddress;
  /** Where the server hands out parts of the model, for a node that lacks its file; null: nowhere. */
  readonly slices: NodeAddress | null;
}

/**
 * `time`: to echo a measurement; `end`: all ranks of that epoch, which may end by themselves first; `drain`: to leave; `slices`: to hand out
 * parts of a model over this link from then on; `pages`: copies of pages.
 */
export type NodeRequest =
  | { readonly kind: "time" }
  | StartRequest
  | { readonly kind: "end"; readonly epoch: number; readonly patienceMs: number }
  | { readonly kind: "drain" }
  | SlicesRequest
  | { readonly kind: "pages" };

export interface SlicesRequest {
  readonly kind: "slices";
  readonly root: string;
}

const epoch: z.ZodInt = z.int().min(1);
const root = z.string().regex(/^[0-9a-f]{64}$/);
const place = {
  host: z.union([z.ipv4(), z.ipv6()]),
  port: z.int().min(1).max(65_535),
};
const requestShape: z.ZodType<NodeRequest> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("time") }),
  z.strictObject({
    kind: z.literal("start"),
    epoch,
    rank: z.int().nonnegative(),
    root,
    engine: z.strictObject({ driver: z.enum(["tcp", "ucx"]), ...place }),
    slices: z.nullable(z.strictObject(place)),
  }),
  z.strictObject({
    ...{ kind: z.literal("end"), epoch },
    patienceMs: z.int().nonnegative().max(END_PATIENCE_MS),
  }),
  z.strictObject({ kind: z.literal("drain") }),
  z.strictObject({ kind: z.literal("slices"), root }),
  z.strictObject({ kind: z.literal("pages") }),
]);

type NodeAnswer = { readonly done: true } | { readonly code: string; readonly message: string };

const answerShape: z.ZodType<NodeAnswer> = z.union([
  z.strictObject({ done: z.literal(true) }),
  z.strictObject({ code: z.string(), message: z.string() }),
]);

/** How long a thread spins before it sleeps: requests are rare. */
const SPIN_MICROS = 50;

/** Another node, or a command, that asks nodes. */
export interface Asker {
  readonly name: string;
  /** Of the cluster. */
  readonly secret: Uint8Array;
}

export function requestSettings({ name, secret }: Asker): LinkSettings {
  return { node: name, secret, epoch: REQUEST_EPOCH, handshakeMs: ASK_MS };
}

/** Asks a node one thing. What it says went wrong; E_LINK, E_LINK_PEER, E_DEADLINE. */
export async function askNode(
  address: Pick<LinkAddress, "host" | "port">,
  asker: Asker,
  request: NodeRequest,
): Promise<void> {
  await withLink(address, asker, (link) => askOver(link, request));
}

/** Does something over a link to a node, which is closed then. */
export async function withLink<T>(
  address: Pick<LinkAddress, "host" | "port">,
  asker: Asker,
  use: (link: Link) => Promise<T>,
): Promise<T> {
  const { link } = await connectPeer({ driver: "tcp", ...address }, requestSettings(asker));
  try {
    return await use(link);
  } finally {
    await link.close();
  }
}

/** A link to a peer that hands out parts of a model. Errors: those of `askNode`. */
export function openSlices(
  address: Pick<LinkAddress, "host" | "port">,
  asker: Asker,
  model: string,
): Promise<Link> {
  return openFor(address, asker, { kind: "slices", root: model });
}

/** A link to a server that hands out copies of its pages. Errors: those of `askNode`. */
export function openPages(address: Pick<LinkAddress, "host" | "port">, asker: Asker): Promise<Link> {
  return openFor(address, asker, { kind: "pages" });
}

async function openFor(
  address: Pick<LinkAddress, "host" | "port">,
  asker: Asker,
  request: NodeRequest,
): Promise<Link> {
  const { link } = await connectPeer({ driver: "tcp", ...address }, requestSettings(asker));
  try {
    await askOver(link, request);
    return link;
  } catch (error) {
    await link.close();
    throw error;
  }
}

/** Asks over an open link. What the node says went wrong; E_LINK, E_LINK_PEER, E_DEADLINE. */
export async function askOver(link: Link, request: NodeRequest): Promise<void> {
  await send(link, request);
  const answer = answerShape.safeParse(await receive(link, ANSWER_MS));
  if (!answer.success) throw new ClawError("E_LINK_PEER", "A node's answer is not what nodes say.");
  if ("done" in answer.data) return;
  const { code, message } = answer.data;
  throw new ClawError(Object.hasOwn(errorTable, code) ? (code as ErrorCode) : "E_LINK_PEER", message);
}

/** The next request on a link; undefined when the peer says goodbye. E_LINK, E_LINK_PEER, E_DEADLINE. */
export async function receiveRequest(link: Link): Promise<NodeRequest | undefined> {
  let document: unknown;
  try {
    document = await receive(link, REQUEST_MS);
  } catch (error) {
    if (asClawError(error).code === "E_LINK") return undefined;
    throw error;
  }
  const request = requestShape.safeParse(document);
  if (request.success) return request.data;
  throw new ClawError("E_LINK_PEER", "A peer asked for what no node of this version does.");
}

/** `problem`: why it was not done. */
export function sendAnswer(link: Link, problem?: ClawError): Promise<void> {
  if (problem === undefined) return send(link, { done: true });
  return send(link, { code: problem.code, message: problem.message.slice(0, REASON_CHARS_MAX) });
}

function send(link: Link, message: NodeRequest | NodeAnswer): Promise<void> {
  return link.send(utf8(JSON.stringify(message)), { spinMicros: SPIN_MICROS, limitMs: REQUEST_MS });
}

async function receive(link: Link, limitMs: number): Promise<unknown> {
  const into = new Uint8Array(REQUEST_BYTES_MAX);
  const bytes = await link.receive(into, { spinMicros: SPIN_MICROS, limitMs });
  try {
    return JSON.parse(fromUtf8(into.subarray(0, bytes)));
  } catch (cause) {
    throw new ClawError("E_LINK_PEER", "A peer sent a message that is no JSON.", { cause });
  }
}
