/**
 * How processes that run ranks find each other. A rank's process is told where the engine's process listens, and where it
 * is to listen itself; it connects, says which rank it is and where others reach it, and is told what to do.
 */

import { z } from "zod";
import { at, ClawError } from "../../base/mod.ts";
import { fromHex } from "../../crypto/mod.ts";
import type { EngineSettings, RuntimeReport } from "../../engine/mod.ts";
import {
  ARITHMETIC_VERSION,
  type DeviceMemory,
  type LinkAddress,
  type RankLink,
  type WeightFormat,
} from "../../kernels/mod.ts";
import type { ModelSeal, PackedCacheSettings, Placement } from "../../model/mod.ts";
import { type LinkSettings, SECRET_BYTES } from "../link/mod.ts";
import type { FetchTerms } from "../slices/mod.ts";
import { HANDSHAKE_MS, HELLO_BYTES_MAX, RANKS_MAX, TASK_BYTES_MAX, TERMS_BYTES_MAX } from "./limits.ts";
import type { RankSizes } from "./rank.ts";

/** Of everything that ranks and the engine's process say to each other. */
export const PROTOCOL_VERSION = 3;

const addressShape = z.strictObject({
  driver: z.enum(["shared", "tcp", "ucx"]),
  host: z.string().min(1),
  port: z.int().min(0).max(65_535),
});

/** Where a process can be asked for links. */
export interface LinkPlace {
  /** Processes whose hosts have the same name reach each other through shared memory. */
  readonly host: string;
  readonly addresses: readonly LinkAddress[];
}

const placeShape = z.strictObject({
  host: z.string().min(1),
  addresses: z.array(addressShape).min(1).max(8),
});

/** What a process that runs a rank knows before it meets anybody. It holds a secret, so it comes by standard input. */
export interface RankTerms {
  readonly rank: number;
  /** Where the engine's process listens. */
  readonly engine: LinkAddress;
  /** Where this rank is to listen for other ranks; port 0: any that is free. */
  readonly place: LinkPlace;
  /** Of the cluster, SECRET_BYTES bytes in hexadecimal digits. */
  readonly secret: string;
  /** Of the plan that the ranks work for; others of another epoch are refused. */
  readonly epoch: number;
  /** Where the model file is on this host, if elsewhere than on the engine's. */
  readonly model?: string | undefined;
  /** Where its slice of the model comes from, where this host lacks the file; undefined: it has it. */
  readonly fetch?: FetchTerms | undefined;
  /** Compute threads, where this host has its own mind about it. */
  readonly threads?: number | undefined;
  /** The first core that its compute threads are pinned to; undefined: they are not pinned. */
  readonly firstCore?: number | undefined;
  /** Where packed weights are kept on this host between starts; undefined: nowhere. */
  readonly packedCache?: PackedCacheSettings | undefined;
}

const peerShape = z.strictObject({
  name: z.string().min(1),
  address: z.strictObject({ host: z.string().min(1), port: z.int().min(1).max(65_535) }),
});

const termsShape = z.strictObject({
  rank: z.int().nonnegative().max(RANKS_MAX),
  engine: addressShape,
  place: placeShape,
  secret: z.string().length(2 * SECRET_BYTES),
  epoch: z.int().nonnegative(),
  model: z.string().optional(),
  fetch: z
    .strictObject({
      ...{ root: z.string(), folder: z.string(), bytesMax: z.number().optional() },
      ...{ trusted: peerShape, peers: z.array(peerShape) },
    })
    .optional(),
  threads: z.int().min(1).optional(),
  firstCore: z.int().nonnegative().optional(),
  packedCache: z
    .strictObject({
      folder: z.string(),
      bytesMax: z.number().optional(),
      verify: z.boolean(),
      seal: z.strictObject({ root: z.string(), key: z.string() }).optional(),
    })
    .optional(),
});

/** E_USAGE where the text is none that `claw node rank` can begin with. */
export function parseTerms(text: string): RankTerms {
  try {
    if (text.length > TERMS_BYTES_MAX) throw new Error(`It has ${text.length} letters.`);
    return termsShape.parse(JSON.parse(text));
  } catch (cause) {
    // What came may hold the secret, and is not repeated.
    throw new ClawError("E_USAGE", "claw node rank was not told on its standard input which rank it is.", {
      cause,
    });
  }
}

/** How a process introduces itself on its links. */
export function settingsOf(
  node: string,
  { secret, epoch }: Pick<RankTerms, "secret" | "epoch">,
): LinkSettings {
  const bytes = fromHex(secret);
  if (bytes?.length !== SECRET_BYTES) throw new ClawError("E_USAGE", "The secret of a cluster has 32 bytes.");
  return { node, epoch, secret: bytes, handshakeMs: HANDSHAKE_MS };
}

/** How ranks are called on their links. */
export function rankName(rank: number): string {
  return `rank ${rank}`;
}

/** What a rank's process is told: plain data. */
export interface NodeTask {
  /** The path of the model file. */
  readonly model: string;
  readonly format: WeightFormat;
  readonly placement: Placement;
  readonly sizes: RankSizes;
  readonly device: EngineSettings["device"];
  readonly threads: number;
  readonly lockMemory?: boolean | undefined;
  /** What every byte of the model is checked against before it is used; undefined: nothing. */
  readonly seal?: ModelSeal | undefined;
  /** Where each rank listens, by rank. */
  readonly places: readonly LinkPlace[];
}

/** What a rank's process says when it can run steps. */
export interface NodeReport {
  readonly device: string;
  readonly threads: number;
  readonly memory: DeviceMemory;
  /** Of its part of a KV page. */
  readonly pageBytes: number;
  /** As in RuntimeReport. */
  readonly weights: "cache" | "model";
  readonly warning: string | undefined;
}

/** What ranks say of themselves, as one. */
export function joinedReport(reports: readonly NodeReport[]): RuntimeReport {
  const sum = (of: (report: NodeReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  return {
    device: at(reports, 0).device,
    threads: sum(({ threads }) => threads),
    weightBytes: sum(({ memory }) => memory.weights),
    bufferBytes: sum(({ memory }) => memory.buffers),
    weights: reports.every(({ weights }) => weights === "cache") ? "cache" : "model",
    warning: reports.find(({ warning }) => warning !== undefined)?.warning,
  };
}

const helloShape = z.strictObject({
  protocol: z.int(),
  arithmetic: z.int(),
  rank: z.int().nonnegative().max(RANKS_MAX),
  place: placeShape,
});

/** What a rank says first. */
export type Hello = Pick<RankTerms, "rank" | "place">;

export function sendHello(link: RankLink, hello: Hello): Promise<void> {
  return sendJson(link, { protocol: PROTOCOL_VERSION, arithmetic: ARITHMETIC_VERSION, ...hello });
}

/** Who is at the other end: one of the `expected` ranks. E_LINK when it is none, or of another version. */
export async function receiveHello(link: RankLink, expected: ReadonlySet<number>): Promise<Hello> {
  const parsed = helloShape.safeParse(await receiveJson(link, HELLO_BYTES_MAX));
  if (!parsed.success) throw new ClawError("E_LINK", "A process that joined did not say who it is.");
  const { protocol, arithmetic, rank, place } = parsed.data;
  if (protocol !== PROTOCOL_VERSION || arithmetic !== ARITHMETIC_VERSION) {
    const told = `protocol ${protocol} and arithmetic ${arithmetic}`;
    const own = `${PROTOCOL_VERSION} and ${ARITHMETIC_VERSION}`;
    throw new ClawError("E_LINK", `A process that joined speaks ${told}; this one speaks ${own}.`);
  }
  if (expected.has(rank)) return { rank, place };
  throw new ClawError("E_LINK", `A process joined as rank ${rank}, which nobody waits for.`);
}

export function sendTask(link: RankLink, task: NodeTask): Promise<void> {
  return sendJson(link, task);
}

/** What this rank is to do. The engine's process is trusted: it knows the secret. E_LINK when there is no sense in it. */
export async function receiveTask(link: RankLink): Promise<NodeTask> {
  return (await receiveJson(link, TASK_BYTES_MAX)) as NodeTask;
}

async function sendJson(link: RankLink, value: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const length = Uint32Array.of(bytes.byteLength);
  await Promise.all([link.send(new Uint8Array(length.buffer)), link.send(bytes)]);
}

async function receiveJson(link: RankLink, bytesMax: number): Promise<unknown> {
  const words = new Uint32Array(1);
  await link.receive(new Uint8Array(words.buffer));
  const [length = 0] = words;
  if (length > bytesMax) {
    const message = `A message of ${length} bytes was announced; at most ${bytesMax} were expected.`;
    throw new ClawError("E_LINK", message);
  }
  const bytes = new Uint8Array(length);
  await link.receive(bytes);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ClawError("E_LINK", "A message that ranks begin with is no JSON.", { cause });
  }
}
