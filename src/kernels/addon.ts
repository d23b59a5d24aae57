/**
 * I/O: loads the native addon, and builds it at first start where the install could not.
 *
 * The addon's functions as TypeScript sees them. Errors carry one of our codes in `code`; E_WEIGHTS also the `row` of
 * the slice.
 */

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { ClawError } from "../base/mod.ts";
import { type NativeLink, OP } from "./contract.ts";

/** What the build and the processor offer. */
export interface NativeInfo {
  /** Instruction sets that can run here, `scalar` first, the fastest last. */
  readonly isas: readonly string[];
  /** The addon's numbers of the operations. */
  readonly opcodes: Readonly<Record<string, number>>;
  /** Of packed matrices: layout and arithmetic. */
  readonly packedVersion: string;
  readonly cpu: string;
  readonly features: readonly string[];
}

/** A rate per second: of one thread alone, and of all threads together. */
export type NativeRate = readonly [one: number, all: number];

/** The machine's ceilings, and the names of the loops that reached them. */
export interface NativePeaks {
  /** int8 multiply-adds into int32. */
  readonly multiplies: NativeRate;
  readonly multiplyKernel: string;
  /** f32 operations, two in each fused multiply-add. */
  readonly floatOperations: NativeRate;
  readonly floatKernel: string;
  /** Bytes of memory read. */
  readonly readBytes: NativeRate;
  readonly readKernel: string;
  /** The last-level caches of the processors this process may use; 0 where the system does not say. */
  readonly cacheBytes: number;
  /** Read in each pass. */
  readonly bufferBytes: number;
}

/** A device of the addon. */
export interface NativeHandle {
  readonly handle: "device";
}

/** A prepared program of the addon. */
export interface NativeExecutable {
  readonly handle: "executable";
}

/** A model to train of the addon. */
export interface NativeTrainer {
  readonly handle: "trainer";
}

/** Where the addon listens for links. */
export interface NativeListener {
  readonly handle: "listener";
}

/** Microseconds of each round. */
export interface LinkTimes {
  /** Half of what a message and its echo take. */
  readonly oneWay: Float64Array;
  /** One memcpy of as many bytes. */
  readonly copy: Float64Array;
  /** As `oneWay`, over a loopback connection without frames; empty where the link is none of TCP. */
  readonly wire: Float64Array;
}

export interface NativePrepared {
  readonly executable: NativeExecutable;
  /** The step block; `offsets` are of its parts, in the order that `native.ts` reads them in. */
  readonly memory: ArrayBuffer;
  readonly offsets: readonly number[];
}

/** Everything that crosses into C++; `native/addon.cc` is the other side. Numbers are packed as noted there. */
export interface Addon {
  info(): NativeInfo;
  /** `lockMemory` is 0 or 1, `pinning` 0 (automatic), 1 (always) or 2 (never), `firstCore` -1 where any will do. */
  createDevice(
    threads: number,
    isa: string,
    ...flags: readonly [lockMemory: 0 | 1, pinning: 0 | 1 | 2, firstCore: number]
  ): NativeHandle;
  loadMatrix(
    device: NativeHandle,
    shape: Int32Array,
    ...source: readonly [Uint8Array] | readonly [file: string, offset: number]
  ): Promise<number>;
  /** Resolves to -1 where the bytes have another checksum. */
  readMatrix(
    device: NativeHandle,
    shape: Int32Array,
    ...place: readonly [descriptor: number, offset: number, checksum: BigUint64Array]
  ): Promise<number>;
  packedBytes(shape: Int32Array): number;
  matrixBytes(device: NativeHandle, id: number): ArrayBuffer;
  /** Fills `result`, of one element. */
  checksum(bytes: Uint8Array, result: BigUint64Array): void;
  /** `ranges` are pairs of offset and bytes; what is read also goes `into` memory, unless that is empty. */
  hashFile(
    device: NativeHandle,
    descriptor: number,
    ...what: readonly [ranges: BigUint64Array, into: Uint8Array]
  ): Promise<Uint8Array>;
  hashMemory(device: NativeHandle, bytes: Uint8Array): Promise<Uint8Array>;
  loadVector(device: NativeHandle, values: Float32Array): number;
  allocateKv(device: NativeHandle, ...shape: readonly [number, number, number, number, number]): void;
  copyPage(device: NativeHandle, from: number, to: number): void;
  /** Between a KV page and `bytes`: into the page where `write` is 1. */
  movePage(device: NativeHandle, page: number, ...move: readonly [bytes: Uint8Array, write: 0 | 1]): void;
  discardPage(device: NativeHandle, page: number): void;
  prepare(
    device: NativeHandle,
    buffers: Int32Array,
    ...program: readonly [
      tape: Int32Array,
      logits: number,
      limits: Int32Array,
      links: readonly (NativeLink | undefined)[],
    ]
  ): NativePrepared;
  execute(executable: NativeExecutable, rows: number, outputs: number): Promise<void>;
  /** [exchanges, messages sent, their bytes, seconds waited] */
  exchangeCounts(executable: NativeExecutable): readonly [number, number, number, number];
  writeBuffer(executable: NativeExecutable, buffer: number, values: Float32Array): void;
  /** Fills `values` with the first values of the buffer. */
  readBuffer(executable: NativeExecutable, buffer: number, values: Float32Array): void;
  /** Bytes of weights, KV cache and buffers. */
  memory(device: NativeHandle): readonly [number, number, number];
  close(device: NativeHandle): void;
  createTrainer(
    device: NativeHandle,
    model: Int32Array,
    ...arrays: readonly [
      scalars: Float32Array,
      parameters: Float32Array,
      adapters: Float32Array,
      gradients: Float32Array,
      ropeForward: Float32Array,
      ropeBackward: Float32Array,
    ]
  ): NativeTrainer;
  /** Resolves to [loss, cross-entropy, targets, agreed, sum of the gradient's squares]. */
  trainBatch(
    trainer: NativeTrainer,
    examples: Int32Array,
    ...how: readonly [shape: Int32Array, numbers: Float32Array, teacher: NativeTrainer | undefined]
  ): Promise<readonly [number, number, number, number, number]>;
  updateParameters(
    trainer: NativeTrainer,
    first: Float32Array,
    ...rest: readonly [second: Float32Array, decayed: number, numbers: Float32Array]
  ): Promise<void>;
  trainLogits(trainer: NativeTrainer, tokens: Int32Array, logits: Float32Array): Promise<void>;
  /** `driver` is 0 (shared memory), 1 (TCP) or 2 (UCX, which begins as TCP). */
  listenLink(driver: 0 | 1 | 2, host: string, port: number): NativeListener;
  listenerPort(listener: NativeListener): number;
  closeListener(listener: NativeListener): void;
  /** Undefined while no peer asks. */
  acceptLink(listener: NativeListener): NativeLink | undefined;
  connectLink(
    driver: 0 | 1 | 2,
    host: string,
    ...rest: readonly [port: number, limitMs: number]
  ): Promise<NativeLink>;
  openLink(
    link: NativeLink,
    epoch: number,
    ...terms: readonly [messageBytesMax: number, keys: Uint8Array]
  ): void;
  /** Makes a link over UCX of one over TCP, while the peer does so; `local` is 1 where both ends are on this host. */
  changeLink(
    link: NativeLink,
    local: number,
    ...patience: readonly [spinMicros: number, limitMs: number]
  ): Promise<number>;
  /** Throws where there is no UCX. */
  requireUcx(): void;
  /** Resolves to the bytes received. */
  exchangeLink(
    link: NativeLink,
    message: Uint8Array | undefined,
    ...rest: readonly [into: Uint8Array | undefined, spinMicros: number, limitMs: number]
  ): Promise<number>;
  /** `plan` is [bytes, rounds, microseconds of spinning, milliseconds, whether this side echoes]. */
  timeLink(link: NativeLink, plan: Int32Array): Promise<LinkTimes>;
  /** Both ends of a link within this process. */
  linkPair(): readonly [NativeLink, NativeLink];
  queueSend(link: NativeLink, message: Uint8Array): Promise<number>;
  queueReceive(link: NativeLink, into: Uint8Array): Promise<number>;
  /** `reason` is a `Drop` of native/link/frame.h. */
  closeLink(link: NativeLink, reason: number): void;
  measurePeaks(threads: number): NativePeaks;
  /** `requests` are pairs of slot and bytes; [seconds, live bytes, resident bytes]. */
  traceMalloc(requests: Int32Array, slots: number): readonly [number, number, number];
}

const addonPath = fileURLToPath(new URL("../../native/build/claw.node", import.meta.url));

let loaded: Addon | undefined;

/** The addon. E_NATIVE when it was not built, does not load, or is of other sources than these. */
export function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  if (!existsSync(addonPath)) throw new ClawError("E_NATIVE", "The native core was not built.");
  const require = createRequire(import.meta.url);
  let addon: Addon;
  try {
    addon = require(addonPath) as Addon;
  } catch (error) {
    throw new ClawError("E_NATIVE", `The native core ${addonPath} does not load.`, { cause: error });
  }
  const { opcodes } = addon.info();
  if (JSON.stringify(opcodes) !== JSON.stringify(OP)) {
    delete require.cache[addonPath]; // so that one built meanwhile is loaded instead
    throw new ClawError("E_NATIVE", `The native core ${addonPath} was built from other sources.`);
  }
  loaded = addon;
  return addon;
}

/** Whether a native device can be opened. */
export function nativeAvailable(): boolean {
  try {
    loadAddon();
    return true;
  } catch {
    return false;
  }
}

/** What the native core offers here, or undefined where there is none. */
export function nativeInfo(): NativeInfo | undefined {
  return nativeAvailable() ? loadAddon().info() : undefined;
}

/** The instruction sets a native device can use here, the fastest last; empty without a native core. */
export function nativeInstructionSets(): readonly string[] {
  return nativeInfo()?.isas ?? [];
}

/** Builds the native core where it is missing; one line of warning when that is impossible. */
export async function ensureNative(): Promise<string | undefined> {
  if (nativeAvailable()) return undefined;
  const { buildNative, remedy } = await import("../../tools/build-native.mjs");
  const built = await buildNative();
  if (!built.ok) return `${built.message} ${remedy}`;
  return nativeAvailable() ? undefined : `The native core was built but does not load. ${remedy}`;
}
