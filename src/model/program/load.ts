/** Loads a program's slice of the weights onto a device. */

import { ClawError } from "../../base/mod.ts";
import { bindTape, type Device, type MatrixSpec, type Program } from "../../kernels/mod.ts";
import { dequantize } from "../../tensor/mod.ts";
import { type ModelDescription, ROPE_FREQUENCIES, ropeTable } from "../architecture/mod.ts";
import type { ByteSource, Gguf, TensorInfo } from "../gguf/mod.ts";
import { adapterVector } from "./adapters.ts";
import { type CompiledProgram, compileLocal, ROPE_TABLE } from "./compile.ts";
import { evenShards } from "./placement.ts";

/** Where packed matrices may come from instead of the model file, and where those go that were packed. */
export interface PackedStore {
  /** The id of the matrix on the device; undefined where it has to be packed. */
  load(spec: MatrixSpec): Promise<number | undefined>;
  /** A matrix was packed from the model file. */
  add(spec: MatrixSpec, id: number): Promise<void>;
}

/** Hands out tensors' bytes after it has checked them. */
export interface TensorReader {
  /** Valid until the next call. */
  read(tensor: TensorInfo): Promise<Uint8Array>;
}

export interface LoadOptions {
  /** Positions the RoPE table covers. */
  readonly context: number;
  /** Called after each matrix with the fraction of source bytes done. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  readonly packed?: PackedStore | undefined;
  /** Where tensors' bytes come from; undefined: straight from the file. */
  readonly tensors?: TensorReader | undefined;
  /** Told of each matrix when it is on the device: the tensor's name, and the matrix's id. */
  readonly onMatrix?: ((name: string, id: number) => void) | undefined;
}

/** A model file: its header and the tensors' bytes. */
export interface ModelFile {
  readonly gguf: Gguf;
  readonly source: ByteSource;
  readonly description: ModelDescription;
}

/**
 * Loads what a program needs and binds it to that. E_MODEL_SHAPE for missing or misshapen tensors, also those of other
 * ranks; E_WEIGHTS for bad values.
 */
export async function loadProgram(
  device: Device,
  file: ModelFile,
  { compiled, ...options }: LoadOptions & { readonly compiled: CompiledProgram },
): Promise<Program> {
  const loader = new WeightLoader(device, file, { compiled, options });
  const { program } = compiled;
  const matrices = await loader.matrices();
  const vectors = await loader.vectors();
  return { ...program, tape: bindTape(program.tape, { matrices, vectors }) };
}

class WeightLoader {
  readonly #device: Device;
  readonly #file: ModelFile;
  readonly #compiled: CompiledProgram;
  readonly #options: LoadOptions;
  readonly #total: number;
  /** Matrices on the device, by their bytes and their slice: tensors that share their bytes are there once. */
  readonly #loaded = new Map<string, number>();
  #done = 0;

  constructor(
    device: Device,
    file: ModelFile,
    { compiled, options }: { readonly compiled: CompiledProgram; readonly options: LoadOptions },
  ) {
    this.#device = device;
    this.#file = file;
    this.#compiled = compiled;
    this.#options = options;
    this.#checkAll();
    const matrixBytes = compiled.matrices.reduce((sum, spec) => sum + this.#sliceBytes(spec), 0);
    this.#total = normsOf(compiled).reduce(
      (sum, name) => sum + this.#normTensor(name).byteLength,
      matrixBytes,
    );
  }

  async matrices(): Promise<number[]> {
    const ids: number[] = [];
    for (const spec of this.#compiled.matrices) ids.push(await this.#matrix(spec));
    return ids;
  }

  async vectors(): Promise<number[]> {
    const ids: number[] = [];
    for (const vector of this.#compiled.vectors) {
      const id =
        typeof vector === "string"
          ? await this.#vector(vector)
          : this.#device.loadVector(adapterVector(vector));
      ids.push(id);
    }
    return ids;
  }

  /** Every tensor of the model, its presence and shape, before minutes are spent on loading the first ones. */
  #checkAll(): void {
    const { description } = this.#file;
    const shards = evenShards(description, 1);
    const whole = compileLocal(description, { format: "f16", shards });
    const used = [
      ...whole.matrices.map((spec) => this.#checked(spec)),
      ...normsOf(whole).map((name) => this.#normTensor(name)),
    ];
    this.#refuseUnknown(new Set(used.map(({ name }) => name)));
  }

  /** A tensor that would be ignored, such as a bias, would change the model silently. */
  #refuseUnknown(used: ReadonlySet<string>): void {
    for (const name of this.#file.gguf.tensors.keys()) {
      if (used.has(name) || name === ROPE_FREQUENCIES) continue;
      const { architecture } = this.#file.description;
      throw new ClawError(
        "E_ARCHITECTURE",
        `The tensor ${name} is not part of the ${architecture} architecture.`,
      );
    }
  }

  async #matrix(spec: MatrixSpec): Promise<number> {
    const tensor = this.#checked(spec);
    const { name: _, ...slice } = spec;
    const key = JSON.stringify([tensor.offset, slice]);
    const id = this.#loaded.get(key) ?? (await this.#load(spec, tensor));
    this.#loaded.set(key, id);
    this.#advance(this.#sliceBytes(spec));
    return id;
  }

  async #load(spec: MatrixSpec, tensor: TensorInfo): Promise<number> {
    const id = (await this.#options.packed?.load(spec)) ?? (await this.#pack(spec, tensor));
    this.#options.onMatrix?.(spec.name, id);
    return id;
  }

  async #pack(spec: MatrixSpec, tensor: TensorInfo): Promise<number> {
    const { type, offset } = tensor;
    const checked = await this.#options.tensors?.read(tensor);
    const data = checked ?? { file: this.#file.source.name, offset };
    const id = await this.#device.loadMatrix(spec, { type, data });
    await this.#options.packed?.add(spec, id);
    return id;
  }

  #checked(spec: MatrixSpec): TensorInfo {
    return this.#tensor(spec.name, [spec.columns, spec.rows]);
  }

  #normTensor(name: string): TensorInfo {
    return this.#tensor(name, [this.#file.description.width]);
  }

  /** Bytes of the file that a slice stands for. */
  #sliceBytes(spec: MatrixSpec): number {
    const { rows, segments, rowRange, segmentRange } = spec;
    const part = ((rowRange[1] - rowRange[0]) * (segmentRange[1] - segmentRange[0])) / (rows * segments);
    return this.#checked(spec).byteLength * part;
  }

  async #vector(name: string): Promise<number> {
    if (name === ROPE_TABLE) {
      return this.#device.loadVector(ropeTable(this.#file.description, this.#options.context));
    }
    const tensor = this.#normTensor(name);
    const { offset, byteLength } = tensor;
    const bytes = (await this.#options.tensors?.read(tensor)) ?? this.#file.source.read(offset, byteLength);
    this.#advance(byteLength);
    return this.#device.loadVector(vectorOf(bytes, tensor));
  }

  #advance(bytes: number): void {
    this.#done += bytes;
    this.#options.onProgress?.(Math.min(1, this.#done / this.#total));
  }

  #tensor(name: string, shape: readonly number[]): TensorInfo {
    const tensor = this.#file.gguf.tensors.get(name);
    if (tensor === undefined) {
      throw new ClawError("E_MODEL_SHAPE", `${this.#file.source.name} lacks the tensor ${name}.`);
    }
    if (tensor.shape.length === shape.length && shape.every((size, i) => tensor.shape[i] === size))
      return tensor;
    const [found, expected] = [tensor.shape.join(" x "), shape.join(" x ")];
    throw new ClawError("E_MODEL_SHAPE", `Tensor ${name} is ${found}; ${expected} was expected.`);
  }
}

/** Names of the tensors among a program's vectors. */
function normsOf({ vectors }: CompiledProgram): string[] {
  return vectors.filter((vector) => typeof vector === "string").filter((name) => name !== ROPE_TABLE);
}

/** A small tensor as f32. E_WEIGHTS when it holds NaN or infinity. */
export function readVector(source: ByteSource, tensor: TensorInfo): Float32Array {
  return vectorOf(source.read(tensor.offset, tensor.byteLength), tensor);
}

function vectorOf(bytes: Uint8Array, tensor: TensorInfo): Float32Array {
  const values = new Float32Array(tensor.shape.reduce((product, size) => product * size, 1));
  dequantize(tensor.type, bytes, values);
  if (values.every(Number.isFinite)) return values;
  throw new ClawError("E_WEIGHTS", `Tensor ${tensor.name} holds NaN or infinity.`);
}
