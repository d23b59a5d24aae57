/** Loads a model's weights onto a device, slice by slice, and compiles its program. */

import { ClawError } from "../../base/mod.ts";
import type { Device, MatrixSpec, Program, WeightFormat } from "../../kernels/mod.ts";
import { dequantize } from "../../tensor/mod.ts";
import { type ModelDescription, ROPE_FREQUENCIES, ropeTable } from "../architecture/mod.ts";
import type { ByteSource, Gguf, TensorInfo } from "../gguf/mod.ts";
import { compile, type LayerWeights, type WeightIds } from "./compile.ts";
import {
  attentionNorm,
  EMBEDDING,
  ffnNorm,
  type LayerMatrix,
  layerMatrices,
  layerMatrix,
  OUTPUT,
  OUTPUT_NORM,
  type Shard,
  wholeMatrix,
} from "./weights.ts";

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
  readonly format: WeightFormat;
  readonly shards: readonly Shard[];
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

/** Loads all weights and compiles. E_MODEL_SHAPE for missing or misshapen tensors, E_WEIGHTS for bad values. */
export async function loadProgram(device: Device, file: ModelFile, options: LoadOptions): Promise<Program> {
  const loader = new WeightLoader(device, file, options);
  const weights = await loader.load();
  return compile(file.description, { format: options.format, shards: options.shards, weights });
}

class WeightLoader {
  readonly #device: Device;
  readonly #file: ModelFile;
  readonly #options: LoadOptions;
  readonly #total: number;
  #done = 0;

  constructor(device: Device, file: ModelFile, options: LoadOptions) {
    this.#device = device;
    this.#file = file;
    this.#options = options;
    const loaded = [...file.gguf.tensors.values()].filter(({ name }) => name !== ROPE_FREQUENCIES);
    this.#total = loaded.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  }

  async load(): Promise<WeightIds> {
    const { description } = this.#file;
    const { format, context } = this.#options;
    this.#checkAll();
    const embedding = await this.#matrix(wholeMatrix(description, EMBEDDING, format));
    const output = description.tiedOutput
      ? embedding
      : await this.#matrix(wholeMatrix(description, OUTPUT, format));
    const layers: LayerWeights[] = [];
    for (let layer = 0; layer < description.layers; layer++) layers.push(await this.#layer(layer));
    return {
      embedding,
      output,
      outputNorm: await this.#norm(OUTPUT_NORM),
      ropeTable: this.#device.loadVector(ropeTable(description, context)),
      layers,
    };
  }

  /** Every tensor's presence and shape, before minutes are spent on loading the first ones. */
  #checkAll(): void {
    const { description } = this.#file;
    const { format, shards } = this.#options;
    const whole = [EMBEDDING, ...(description.tiedOutput ? [] : [OUTPUT])];
    const specs = whole.map((name) => wholeMatrix(description, name, format));
    const norms = [OUTPUT_NORM];
    for (let layer = 0; layer < description.layers; layer++) {
      norms.push(attentionNorm(layer), ffnNorm(layer));
      for (const name of layerMatrices) {
        specs.push(...shards.map((shard) => layerMatrix(description, { layer, name, shard, format })));
      }
    }
    const used = [
      ...specs.map((spec) => this.#checked(spec)),
      ...norms.map((name) => this.#normTensor(name)),
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

  async #layer(layer: number): Promise<LayerWeights> {
    const { format, shards } = this.#options;
    const loaded: Record<LayerMatrix, number>[] = [];
    for (const shard of shards) {
      const ids: Partial<Record<LayerMatrix, number>> = {};
      for (const name of layerMatrices) {
        const spec = layerMatrix(this.#file.description, { layer, name, shard, format });
        ids[name] = await this.#matrix(spec);
      }
      loaded.push(ids as Record<LayerMatrix, number>);
    }
    return {
      attentionNorm: await this.#norm(attentionNorm(layer)),
      ffnNorm: await this.#norm(ffnNorm(layer)),
      shards: loaded,
    };
  }

  async #matrix(spec: MatrixSpec): Promise<number> {
    const tensor = this.#checked(spec);
    const id = (await this.#options.packed?.load(spec)) ?? (await this.#pack(spec, tensor));
    this.#options.onMatrix?.(spec.name, id);
    this.#advance(tensor.byteLength / (spec.name.startsWith("blk.") ? this.#options.shards.length : 1));
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

  async #norm(name: string): Promise<number> {
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
