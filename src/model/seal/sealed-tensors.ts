/** I/O: the tensors of a model file, each checked against the seal before it is used. */

import { closeSync } from "node:fs";
import { at } from "../../base/mod.ts";
import type { FileHasher } from "../../kernels/mod.ts";
import { ROPE_FREQUENCIES } from "../architecture/mod.ts";
import type { TensorInfo } from "../gguf/mod.ts";
import type { ModelFile, TensorReader } from "../program/mod.ts";
import { alteredTensors, checkTopology } from "./compare.ts";
import { plainHasher } from "./hasher.ts";
import { openDescriptor } from "./measure.ts";
import { digestTensors } from "./tensors.ts";
import { type ModelSeal, tensorDigest } from "./tree.ts";

/**
 * What is handed out is what was hashed, whatever becomes of the file meanwhile. Tensors that nobody read, because they were
 * packed at an earlier start, are hashed in the end.
 */
export class SealedTensors implements TensorReader {
  readonly #file: ModelFile;
  readonly #seal: ModelSeal;
  readonly #hasher: FileHasher;
  readonly #descriptor: number;
  readonly #checked = new Set<string>();
  /** Of the largest tensor so far. */
  #memory = new Uint8Array(0);

  private constructor(file: ModelFile, seal: ModelSeal, hasher: FileHasher) {
    this.#file = file;
    this.#seal = seal;
    this.#hasher = hasher;
    this.#descriptor = openDescriptor(file.source.name);
  }

  /** Checks all but the tensors. The caller closes it. Errors: E_ALTERED, E_FILE. */
  static async open(
    file: ModelFile,
    seal: ModelSeal,
    hasher: FileHasher = plainHasher,
  ): Promise<SealedTensors> {
    const sealed = new SealedTensors(file, seal, hasher);
    try {
      // Its values are part of the architecture, but they have a name.
      const divisors = file.gguf.tensors.get(ROPE_FREQUENCIES);
      if (divisors !== undefined) await sealed.#check([divisors]);
      checkTopology(file, seal);
    } catch (error) {
      sealed.close();
      throw error;
    }
    return sealed;
  }

  /** Errors: E_ALTERED with the tensor's name, E_FILE. */
  async read(tensor: TensorInfo): Promise<Uint8Array> {
    const { offset, byteLength: length } = tensor;
    if (this.#memory.length < length) this.#memory = new Uint8Array(length);
    const hashes = await this.#hasher.hash(this.#descriptor, [{ offset, length }], this.#memory);
    if (tensorDigest(tensor, hashes) !== this.#seal.tensors[tensor.name]) throw alteredTensors([tensor.name]);
    this.#checked.add(tensor.name);
    return this.#memory.subarray(0, length);
  }

  /** Checks the tensors that were not read. Errors: E_ALTERED with their names, E_FILE. */
  async finish(): Promise<void> {
    this.#memory = new Uint8Array(0);
    await this.#check([...this.#file.gguf.tensors.values()].filter(({ name }) => !this.#checked.has(name)));
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  async #check(tensors: readonly TensorInfo[]): Promise<void> {
    const digests = await digestTensors(tensors, { hasher: this.#hasher, descriptor: this.#descriptor });
    const altered = tensors.filter(({ name }, i) => at(digests, i) !== this.#seal.tensors[name]);
    if (altered.length > 0) throw alteredTensors(altered.map(({ name }) => name));
    for (const { name } of tensors) this.#checked.add(name);
  }
}
