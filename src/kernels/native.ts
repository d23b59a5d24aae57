/**
 * I/O: reads CLAW_ISA from the environment.
 *
 * The CPU device: the native core's kernels, threads and memory behind the contract.
 */

import { assert, at, ClawError } from "../base/mod.ts";
import { sourceByteLength, sourceTypeId } from "../tensor/mod.ts";
import {
  type Addon,
  loadAddon,
  type NativeExecutable,
  type NativeHandle,
  type NativePeaks,
} from "./addon.ts";
import {
  type BufferSpec,
  type Device,
  type DeviceMemory,
  type ExchangeCounts,
  type Executable,
  type FileHasher,
  type FileRange,
  type KvShape,
  kvPageBytes,
  type MatrixSource,
  type MatrixSpec,
  type PackedMatrices,
  type PackedPlace,
  type Program,
  type RankLink,
  type StepBlock,
  type StepLimits,
} from "./contract.ts";
import { translate, translated } from "./native-error.ts";
import { weightsError } from "./weights-error.ts";

/**
 * Whether each compute thread stays on a core of its own: `auto` where they fill at least half of the cores that the
 * process may use, and fit. `always` has them share cores where there are more of them.
 */
export type ThreadPinning = "auto" | "always" | "never";

export interface NativeDeviceOptions {
  /** Threads that compute; the calling thread never does. */
  readonly threads: number;
  /** Instruction set, `scalar`, `avx2`, `avx512`, `neon`, …; by default CLAW_ISA or the fastest this machine has. */
  readonly isa?: string;
  /** Whether weights, KV cache and buffers are kept out of swap; E_MEMORY_LOCK where the system does not let them be. */
  readonly lockMemory?: boolean | undefined;
  /** Undefined: `auto`. */
  readonly pinThreads?: ThreadPinning | undefined;
  /**
   * The first core that threads are pinned to, by its number among those that the process may use: for processes that are not to
   * share cores. Undefined: behind those of this process's other devices.
   */
  readonly firstCore?: number | undefined;
}

/** Opens a device on the native core. E_NATIVE where there is none, or it lacks the instruction set asked for. */
export function openNativeDevice(options: NativeDeviceOptions): Device {
  const addon = loadAddon();
  const { isas } = addon.info();
  const isa = options.isa ?? process.env["CLAW_ISA"] ?? at(isas, isas.length - 1);
  if (!isas.includes(isa)) {
    throw new ClawError("E_NATIVE", `The native core has no ${isa} kernels here; it has ${isas.join(", ")}.`);
  }
  const { threads, lockMemory = false, pinThreads = "auto", firstCore = -1 } = options;
  const handle = translated(() =>
    addon.createDevice(threads, isa, lockMemory ? 1 : 0, pinningNumber[pinThreads], firstCore),
  );
  return new NativeDevice(addon, handle, { name: `cpu-${isa}`, threads });
}

/**
 * Measures what this machine can do at most, on `threads` pinned threads; the calling thread waits for a second or so.
 * E_NATIVE, E_MEMORY.
 */
export function measurePeaks(threads: number): NativePeaks {
  const addon = loadAddon();
  return translated(() => addon.measurePeaks(threads));
}

/** What malloc makes of requests for memory. */
export interface MallocTrace {
  /** Of allocating and freeing alone. */
  readonly seconds: number;
  /** When most bytes were live: those, and what the process's memory had grown by, all of them written. */
  readonly liveBytes: number;
  readonly residentBytes: number;
}

/**
 * Serves requests by malloc and free: pairs of a slot below `slots` and bytes, each after freeing what was in the slot; zero
 * bytes only frees. E_NATIVE.
 */
export function traceMalloc(requests: Int32Array, slots: number): MallocTrace {
  const addon = loadAddon();
  const [seconds, liveBytes, residentBytes] = translated(() => addon.traceMalloc(requests, slots));
  return { seconds, liveBytes, residentBytes };
}

/** The numbers of `Pinning` in native/executor/thread-pool.h. */
const pinningNumber = { auto: 0, always: 1, never: 2 } as const;

/** The numbers of `Format` in native/kernels/kernels.h. */
const formatNumber = { f16: 0, i8: 1, i4: 2 } as const;
const kvFormatNumber = { f16: 0, f32: 1, i8: 2 } as const;

/** [format, rows, columns, segments, first segment, end segment] of the slice held. */
function shapeNumbers({ format, rowRange, columns, segments, segmentRange }: MatrixSpec): readonly number[] {
  return [formatNumber[format], rowRange[1] - rowRange[0], columns, segments, ...segmentRange];
}

class NativeDevice implements Device {
  readonly name: string;
  readonly threads: number;
  readonly packed: PackedMatrices;
  readonly files: FileHasher;
  readonly nativeLinks = true;
  readonly #addon: Addon;
  readonly #handle: NativeHandle;
  #kvPageBytes = 0;

  constructor(addon: Addon, handle: NativeHandle, { name, threads }: { name: string; threads: number }) {
    this.#addon = addon;
    this.#handle = handle;
    this.name = name;
    this.threads = threads;
    this.packed = new NativePacked(addon, handle);
    this.files = { hash: (...task) => hashFile(addon, handle, task) };
  }

  async loadMatrix(spec: MatrixSpec, source: MatrixSource): Promise<number> {
    const { rowRange } = spec;
    const shape = Int32Array.of(...shapeNumbers(spec), sourceTypeId(source.type));
    const rowBytes = sourceByteLength(source.type, spec.columns);
    const first = rowRange[0] * rowBytes;
    const { data } = source;
    try {
      if (data instanceof Uint8Array) {
        const slice = data.subarray(first, rowRange[1] * rowBytes);
        return await this.#addon.loadMatrix(this.#handle, shape, slice);
      }
      return await this.#addon.loadMatrix(this.#handle, shape, data.file, data.offset + first);
    } catch (error) {
      throw matrixError(error, spec);
    }
  }

  loadVector(values: Float32Array): number {
    return translated(() => this.#addon.loadVector(this.#handle, values));
  }

  allocateKv(shape: KvShape): void {
    const { pages, layers, heads, headDim, format } = shape;
    const kind = kvFormatNumber[format];
    translated(() => this.#addon.allocateKv(this.#handle, pages, layers, heads, headDim, kind));
    this.#kvPageBytes = kvPageBytes(shape);
  }

  get kvPageBytes(): number {
    return this.#kvPageBytes;
  }

  copyPage(from: number, to: number): void {
    translated(() => this.#addon.copyPage(this.#handle, from, to));
  }

  readPage(page: number, bytes: Uint8Array): void {
    translated(() => this.#addon.movePage(this.#handle, page, bytes, 0));
  }

  writePage(page: number, bytes: Uint8Array): void {
    translated(() => this.#addon.movePage(this.#handle, page, bytes, 1));
  }

  discardPage(page: number): void {
    translated(() => this.#addon.discardPage(this.#handle, page));
  }

  prepare(program: Program, limits: StepLimits, links: readonly RankLink[] = []): Executable {
    return translated(() => new NativeProgram(this.#addon, this.#handle, { program, limits, links }));
  }

  memory(): DeviceMemory {
    const [weights, kv, buffers] = this.#addon.memory(this.#handle);
    return { weights, kv, buffers };
  }

  close(): void {
    this.#addon.close(this.#handle);
  }
}

class NativePacked implements PackedMatrices {
  readonly version: string;
  readonly #addon: Addon;
  readonly #handle: NativeHandle;

  constructor(addon: Addon, handle: NativeHandle) {
    this.#addon = addon;
    this.#handle = handle;
    this.version = addon.info().packedVersion;
  }

  size(spec: MatrixSpec): number {
    return translated(() => this.#addon.packedBytes(Int32Array.from(shapeNumbers(spec))));
  }

  bytes(id: number): Uint8Array {
    return new Uint8Array(translated(() => this.#addon.matrixBytes(this.#handle, id)));
  }

  checksum(bytes: Uint8Array): string {
    const result = new BigUint64Array(1);
    translated(() => this.#addon.checksum(bytes, result));
    return at(result, 0).toString(16).padStart(16, "0");
  }

  hashes(bytes: Uint8Array): Promise<Uint8Array> {
    return this.#addon.hashMemory(this.#handle, bytes);
  }

  async read(spec: MatrixSpec, { descriptor, offset, checksum }: PackedPlace): Promise<number | undefined> {
    const shape = Int32Array.from(shapeNumbers(spec));
    const expected = BigUint64Array.of(BigInt(`0x${checksum}`));
    try {
      const id = await this.#addon.readMatrix(this.#handle, shape, descriptor, offset, expected);
      return id < 0 ? undefined : id;
    } catch (error) {
      throw matrixError(error, spec);
    }
  }
}

const NO_MEMORY = new Uint8Array(0);

async function hashFile(
  addon: Addon,
  handle: NativeHandle,
  [descriptor, ranges, into = NO_MEMORY]: Parameters<FileHasher["hash"]>,
): Promise<Uint8Array> {
  const pairs = ranges.flatMap(({ offset, length }: FileRange) => [BigInt(offset), BigInt(length)]);
  try {
    return await addon.hashFile(handle, descriptor, BigUint64Array.from(pairs), into);
  } catch (error) {
    throw translate(error);
  }
}

class NativeProgram implements Executable {
  readonly step: StepBlock;
  readonly #addon: Addon;
  readonly #executable: NativeExecutable;
  readonly #buffers: readonly BufferSpec[];

  constructor(
    addon: Addon,
    device: NativeHandle,
    { program, limits, links }: { program: Program; limits: StepLimits; links: readonly RankLink[] },
  ) {
    const buffers = program.buffers.flatMap(bufferNumbers);
    const sizes = Int32Array.of(limits.rows, limits.outputs, limits.pageEntries);
    const logits = program.logits ?? NO_LOGITS;
    const ways = links.map(({ native }) => native);
    const prepared = addon.prepare(device, Int32Array.from(buffers), program.tape, logits, sizes, ways);
    const width = program.logits === undefined ? 0 : at(program.buffers, program.logits).width;
    this.#addon = addon;
    this.#executable = prepared.executable;
    this.#buffers = program.buffers;
    const ints = (part: number, length: number): Int32Array =>
      new Int32Array(prepared.memory, at(prepared.offsets, part), length);
    const floats = (part: number, length: number): Float32Array =>
      new Float32Array(prepared.memory, at(prepared.offsets, part), length);
    this.step = {
      tokens: ints(0, limits.rows),
      positions: ints(1, limits.rows),
      pageStart: ints(2, limits.rows),
      pages: ints(3, limits.pageEntries),
      outputs: ints(4, limits.outputs),
      logits: floats(5, limits.outputs * width),
      status: ints(6, limits.rows),
      adapters: ints(7, limits.rows),
    };
  }

  async execute(rows: number, outputs: number): Promise<void> {
    try {
      await this.#addon.execute(this.#executable, rows, outputs);
    } catch (error) {
      throw translate(error);
    }
  }

  exchangeCounts(): ExchangeCounts {
    const counts = translated(() => this.#addon.exchangeCounts(this.#executable));
    const [exchanges, messages, bytes, waitedSeconds] = counts;
    return { exchanges, messages, bytes, waitedSeconds };
  }

  writeBuffer(buffer: number, values: Float32Array): void {
    translated(() => this.#addon.writeBuffer(this.#executable, buffer, values));
  }

  readBuffer(buffer: number, rows: number): Float32Array {
    const values = new Float32Array(rows * at(this.#buffers, buffer).width);
    translated(() => this.#addon.readBuffer(this.#executable, buffer, values));
    return values;
  }
}

/** As `prepare` of the addon takes it: no buffer of logits. */
const NO_LOGITS = -1;

/** [quantized, domain, width, segments, format], as `prepare` of the addon takes it. */
function bufferNumbers(spec: BufferSpec): readonly number[] {
  const domain = spec.domain === "tokens" ? 0 : 1;
  return spec.kind === "quantized"
    ? [1, domain, spec.width, spec.segments, formatNumber[spec.format]]
    : [0, domain, spec.width, 0, 0];
}

/** An error of loading a matrix, with the tensor's name. */
function matrixError(thrown: unknown, spec: MatrixSpec): unknown {
  const error = translate(thrown);
  if (!(error instanceof ClawError)) return error;
  if (error.code !== "E_WEIGHTS")
    return new ClawError(error.code, `Tensor ${spec.name}: ${error.message}`, { cause: thrown });
  assert(typeof thrown === "object" && thrown !== null && "row" in thrown, "E_WEIGHTS names a row.");
  return weightsError(spec, spec.rowRange[0] + Number(thrown.row));
}
