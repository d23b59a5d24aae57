/** A model's matrix products one shape at a time, each against the machine's ceilings. */

import { assert, at } from "../base/mod.ts";
import {
  type BufferSpec,
  type Device,
  type Executable,
  type MatrixSpec,
  type NativePeaks,
  OP,
  type Program,
} from "../kernels/mod.ts";
import { type MatrixUse, modelMatrices, type OpenedFile } from "../model/mod.ts";
import { timed } from "./clock.ts";
import {
  CACHE_BYTES_UNKNOWN,
  COLD_CACHES,
  COPIES_MAX,
  LARGE_BATCH,
  LARGE_BATCH_COPIES,
  PRODUCT_SECONDS,
} from "./limits.ts";
import { noise, openNative } from "./local.ts";
import type { BenchOptions } from "./report.ts";
import { interleave, median } from "./rounds.ts";
import { computeShare, type Share, shareOf } from "./share.ts";

/** A product of `batch` rows with a matrix of the model. */
export interface ProductTime {
  /** Names of the tensors of this shape, of the first layer. */
  readonly tensors: readonly string[];
  readonly rows: number;
  readonly columns: number;
  /** Matrices of this shape in the model. */
  readonly count: number;
  readonly batch: number;
  /** Of one product: the median of the rounds. */
  readonly seconds: number;
  readonly compute: Share;
  readonly bandwidth: Share;
}

interface ShapeUse extends MatrixUse {
  readonly tensors: readonly string[];
}

/** Matrices of one shape on a device of their own. */
interface Loaded {
  readonly device: Device;
  readonly spec: MatrixSpec;
  readonly matrices: readonly number[];
  /** Bytes of one of them, packed. */
  readonly bytes: number;
}

/** Times every shape of the model at every batch. */
export async function measureProducts(
  options: BenchOptions,
  file: OpenedFile,
  { batches, peaks }: { readonly batches: readonly number[]; readonly peaks: NativePeaks },
): Promise<ProductTime[]> {
  const uses = distinctShapes(modelMatrices(file.description, options.format));
  const progress = options.onProgress("Measuring products:");
  const times: ProductTime[] = [];
  for (const [index, use] of uses.entries()) {
    const loaded = await loadCopies(options, file, { spec: use.spec, peaks });
    for (const batch of batches) {
      const seconds = await productSeconds(loaded, batch, options.rounds);
      times.push(productTime(use, { batch, seconds, bytes: loaded.bytes, peaks }));
    }
    loaded.device.close();
    progress((index + 1) / uses.length);
  }
  return times;
}

function productTime(
  { spec, count, tensors }: ShapeUse,
  figures: { batch: number; seconds: number; bytes: number; peaks: NativePeaks },
): ProductTime {
  const { batch, seconds, bytes, peaks } = figures;
  const { rows, columns, format } = spec;
  return {
    tensors,
    rows,
    columns,
    count,
    batch,
    seconds,
    compute: computeShare(batch * rows * columns, seconds, { peaks, format }),
    bandwidth: shareOf(bytes, seconds, peaks.readBytes),
  };
}

function distinctShapes(uses: readonly MatrixUse[]): ShapeUse[] {
  const byShape = Map.groupBy(uses, ({ spec }) => `${spec.rows} ${spec.columns} ${spec.segments}`);
  return [...byShape.values()].map((same) => ({
    ...at(same, 0),
    count: same.reduce((sum, { count }) => sum + count, 0),
    tensors: same.map(({ spec }) => spec.name),
  }));
}

/** Loads so many copies of a matrix that reading them in turn finds none in the caches. */
async function loadCopies(
  { threads }: BenchOptions,
  file: OpenedFile,
  { spec, peaks }: { readonly spec: MatrixSpec; readonly peaks: NativePeaks },
): Promise<Loaded> {
  const tensor = file.gguf.tensors.get(spec.name);
  assert(tensor !== undefined, `${file.source.name} lacks the tensor ${spec.name}.`);
  const source = { type: tensor.type, data: { file: file.source.name, offset: tensor.offset } };
  const device = await openNative(threads);
  const matrices = [await device.loadMatrix(spec, source)];
  const bytes = device.memory().weights;
  const wanted = (COLD_CACHES * (peaks.cacheBytes || CACHE_BYTES_UNKNOWN)) / bytes;
  while (matrices.length < Math.min(COPIES_MAX, wanted)) matrices.push(await device.loadMatrix(spec, source));
  return { device, spec, matrices, bytes };
}

/** Seconds of one product: a tape of many, less the same tape without them. */
async function productSeconds(loaded: Loaded, batch: number, rounds: number): Promise<number> {
  const { device, spec, matrices } = loaded;
  const used = batch < LARGE_BATCH ? matrices : matrices.slice(0, LARGE_BATCH_COPIES);
  const limits = { rows: batch, outputs: 1, pageEntries: 0 };
  const prepare = (ids: readonly number[]): Executable => {
    const executable = device.prepare(productProgram(spec, ids), limits);
    executable.writeBuffer(INPUT, noise(batch * spec.columns));
    return executable;
  };
  const [products, nothing] = [prepare(used), prepare([])];
  const repeats = Math.ceil(PRODUCT_SECONDS / (await timed(() => products.execute(batch, 0))));
  const repeated = (executable: Executable): Promise<number> =>
    timed(async () => {
      for (let i = 0; i < repeats; i++) await executable.execute(batch, 0);
    });
  const round = async (): Promise<Record<"products" | "nothing", number>> => ({
    products: await repeated(products),
    nothing: await repeated(nothing),
  });
  const { ours } = await interleave(rounds, round, undefined);
  const differences = ours.products.map((seconds, index) => seconds - at(ours.nothing, index));
  // Of matrices so small that the difference is lost in the clock's own noise, a nanosecond is reported.
  return Math.max(1e-9, median(differences)) / (used.length * repeats);
}

const INPUT = 0;
const RESULT = 1;
const LOGITS = 2;
const QUANTIZED = 3;

/** Quantizes INPUT where the format asks for it, then multiplies it by each of the matrices. */
function productProgram(spec: MatrixSpec, matrices: readonly number[]): Program {
  const { format, rows, columns, segments } = spec;
  const integer = format !== "f16";
  const buffers: BufferSpec[] = [
    { kind: "f32", name: "input", domain: "tokens", width: columns },
    { kind: "f32", name: "result", domain: "tokens", width: rows },
    { kind: "f32", name: "logits", domain: "outputs", width: 1 },
  ];
  if (integer) {
    const shape = { kind: "quantized", domain: "tokens", width: columns, segments, format } as const;
    buffers.push({ ...shape, name: "quantized" });
  }
  const source = integer ? QUANTIZED : INPUT;
  const tape = [
    ...(integer ? [OP.QUANTIZE, QUANTIZED, INPUT] : []),
    ...matrices.flatMap((matrix) => [OP.LINEAR, RESULT, source, matrix]),
    OP.END,
  ];
  return { buffers, tape: Int32Array.from(tape), logits: LOGITS };
}
