/**
 * I/O: a timer.
 *
 * How processes that run ranks find each other: a folder of Unix sockets that only this user may enter, one of the engine's
 * process and one of each rank. Whoever connects says first which rank it is, and what it speaks.
 */

import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import type { EngineSettings } from "../../engine/mod.ts";
import {
  ARITHMETIC_VERSION,
  type DeviceMemory,
  type RankLink,
  type WeightFormat,
} from "../../kernels/mod.ts";
import type { Placement } from "../../model/mod.ts";
import { JOIN_MS, TASK_BYTES_MAX } from "./limits.ts";
import type { RankSizes } from "./rank.ts";

const MAGIC = 0x4b4e5243; // "CRNK"
/** Of everything that ranks and the engine's process say to each other. */
const PROTOCOL_VERSION = 1;

/** What a rank's process is told: plain data. */
export interface NodeTask {
  /** The path of the model file. */
  readonly model: string;
  readonly format: WeightFormat;
  readonly placement: Placement;
  readonly sizes: RankSizes;
  readonly device: EngineSettings["device"];
  readonly threads: number;
}

/** What a rank's process says when it can run steps. */
export interface NodeReport {
  readonly device: string;
  readonly memory: DeviceMemory;
}

export function engineSocket(folder: string): string {
  return join(folder, "engine.sock");
}

export function rankSocket(folder: string, rank: number): string {
  return join(folder, `rank-${rank}.sock`);
}

export function sendHello(link: RankLink, rank: number): Promise<void> {
  return link.send(bytesOf(Int32Array.of(MAGIC, PROTOCOL_VERSION, ARITHMETIC_VERSION, rank)));
}

/** Which of the `expected` ranks is at the other end. E_LINK when it is none, or of another version. */
export async function receiveHello(link: RankLink, expected: ReadonlySet<number>): Promise<number> {
  const words = new Int32Array(4);
  await withinTime(link.receive(bytesOf(words)), "say who it is");
  const [magic, protocol, arithmetic, rank = -1] = words;
  if (magic !== MAGIC || protocol !== PROTOCOL_VERSION || arithmetic !== ARITHMETIC_VERSION) {
    const told = `protocol ${protocol} and arithmetic ${arithmetic}`;
    const own = `${PROTOCOL_VERSION} and ${ARITHMETIC_VERSION}`;
    throw new ClawError("E_LINK", `A process that joined speaks ${told}; this one speaks ${own}.`);
  }
  if (expected.has(rank)) return rank;
  throw new ClawError("E_LINK", `A process joined as rank ${rank}, which nobody waits for.`);
}

export async function sendTask(link: RankLink, task: NodeTask): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(task));
  await Promise.all([link.send(bytesOf(Int32Array.of(bytes.byteLength))), link.send(bytes)]);
}

/** What this rank is to do. The engine's process is trusted: it started this one. E_LINK when there is no sense in it. */
export async function receiveTask(link: RankLink): Promise<NodeTask> {
  const words = new Int32Array(1);
  await link.receive(bytesOf(words));
  const [length = 0] = words;
  if (length < 0 || length > TASK_BYTES_MAX)
    throw new ClawError(
      "E_LINK",
      `A task of ${length} bytes was announced; at most ${TASK_BYTES_MAX} were expected.`,
    );
  const bytes = new Uint8Array(length);
  await link.receive(bytes);
  return JSON.parse(new TextDecoder().decode(bytes)) as NodeTask;
}

/** E_LINK when it takes longer than joining may. */
export async function withinTime<T>(awaited: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new ClawError("E_LINK", `A rank took longer than ${JOIN_MS / 1000} s to ${what}.`);
    timer = setTimeout(() => reject(error), JOIN_MS);
  });
  try {
    return await Promise.race([awaited, late]);
  } finally {
    clearTimeout(timer);
  }
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
