/** I/O: the packed weights of a model on a device: taken from the file of an earlier start, or kept for the next one. */

import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import type { Device, MatrixSpec, PackedMatrices, WeightFormat } from "../../kernels/mod.ts";
import { openByteSource } from "../gguf/mod.ts";
import type { ModelFile, PackedStore } from "../program/mod.ts";
import { type LoadedMatrix, openEntry, type PackedEntry, writeEntry } from "./entry.ts";
import { makeRoom, markUsed, SUFFIX } from "./folder.ts";
import { contentDigest, identify, type ModelIdentity, sameIdentity } from "./identity.ts";
import { alignOffset, matrixKey, type PackedIndex, type PackedMatrix, Unusable } from "./index-format.ts";
import { indexMac, sameMac } from "./seal-key.ts";

/** Plain data: it crosses to the engine's thread. */
export interface PackedCacheSettings {
  readonly folder: string;
  /** Bytes that the folder may hold; undefined: 64 GiB, or half of the free disk where that is less. */
  readonly bytesMax?: number | undefined;
  /** Whether a model file is read whole, to be sure that it is the one that was packed. */
  readonly verify: boolean;
  /** Under which root weights are packed and taken, and the key (hexadecimal) of who packs them; undefined: unsealed. */
  readonly seal?: { readonly root: string; readonly key: string } | undefined;
}

interface PackedCacheTask {
  readonly format: WeightFormat;
  /** Tensor-parallel shards. */
  readonly degree: number;
  /** A rank's matrices, which have an entry of their own; undefined: those of the whole model. */
  readonly slice?: readonly MatrixSpec[] | undefined;
  /** Told what an operator should know, in a sentence; the work goes on. */
  readonly onNote: (text: string) => void;
}

/** The cache for one start of a model; undefined where none is wanted, or the device packs nothing. Never fails. */
export async function openPackedCache(
  device: Device,
  file: ModelFile,
  options: PackedCacheTask & { readonly settings: PackedCacheSettings | undefined },
): Promise<PackedCache | undefined> {
  const { settings, ...task } = options;
  if (settings === undefined || device.packed === undefined) return undefined;
  try {
    const cache = new PackedCache(device.packed, file, { ...task, ...settings });
    await cache.find();
    return cache;
  } catch (error) {
    task.onNote(`Packed weights are not kept: ${reasonOf(error)}.`);
    return undefined;
  }
}

class PackedCache implements PackedStore {
  readonly #packed: PackedMatrices;
  readonly #file: ModelFile;
  readonly #options: PackedCacheTask & PackedCacheSettings;
  readonly #model: string;
  readonly #path: string;
  readonly #identity: ModelIdentity;
  readonly #loaded: LoadedMatrix[] = [];
  #entry: PackedEntry | undefined;
  #places = new Map<string, PackedMatrix>();
  #packedHere = 0;

  /** Looks at the model file. Throws what the system says. */
  constructor(packed: PackedMatrices, file: ModelFile, options: PackedCacheTask & PackedCacheSettings) {
    this.#packed = packed;
    this.#file = file;
    this.#options = options;
    this.#model = realpathSync(file.source.name);
    this.#path = join(options.folder, this.#name());
    this.#identity = identify(file);
  }

  /** Whether every matrix came from the cache. */
  get complete(): boolean {
    return this.#loaded.length > 0 && this.#packedHere === 0;
  }

  /** Looks for the entry of an earlier start; one that cannot be used is noted and will be replaced. */
  async find(): Promise<void> {
    try {
      const entry = openEntry(this.#path);
      if (entry === undefined) return;
      this.#entry = entry;
      await this.#check(entry.index);
      this.#places = new Map(entry.index.matrices.map((matrix) => [matrix.key, matrix]));
    } catch (error) {
      this.#ignore(reasonOf(error));
    }
  }

  async load(spec: MatrixSpec): Promise<number | undefined> {
    const key = matrixKey(spec);
    const place = this.#places.get(key);
    if (this.#entry === undefined || place === undefined) return undefined;
    try {
      if (place.bytes !== this.#packed.size(spec)) throw new Unusable(`${spec.name} has another size`);
      const { descriptor } = this.#entry;
      const id = await this.#packed.read(spec, { ...place, descriptor });
      if (id === undefined) throw new Unusable(`${spec.name} is damaged`);
      const sha256 = await this.#sha256(id);
      if (sha256 !== undefined && sha256 !== place.sha256) throw new Unusable(`${spec.name} was altered`);
      this.#loaded.push({ key, id, sha256 });
      return id;
    } catch (error) {
      this.#ignore(reasonOf(error));
      return undefined;
    }
  }

  async add(spec: MatrixSpec, id: number): Promise<void> {
    this.#packedHere++;
    this.#loaded.push({ key: matrixKey(spec), id, sha256: await this.#sha256(id) });
  }

  async #sha256(id: number): Promise<string | undefined> {
    if (this.#options.seal === undefined) return undefined;
    const hashes = await this.#packed.hashes(this.#packed.bytes(id));
    return createHash("sha256").update(hashes).digest("hex");
  }

  /** After loading: keeps what had to be packed. Never fails: what goes wrong is noted, and the next start packs again. */
  async save(): Promise<void> {
    this.#closeEntry();
    try {
      if (this.complete) markUsed(this.#path);
      else await this.#write();
    } catch (error) {
      this.#options.onNote(
        `The packed weights cannot be kept in ${this.#options.folder}: ${reasonOf(error)}.`,
      );
    }
  }

  async #write(): Promise<void> {
    const { folder, bytesMax, format } = this.#options;
    const bytes = this.#loaded.reduce((sum, { id }) => sum + alignOffset(this.#packed.bytes(id).length), 0);
    if (!makeRoom(this.#path, bytes, { folder, bytesMax })) {
      throw new Unusable(`they take ${bytes} bytes, more than it may hold`);
    }
    await writeEntry(this.#path, { packed: this.#packed, matrices: this.#loaded }, async (matrices) => {
      const digest = await contentDigest(this.#model);
      if (!sameIdentity(this.#identity, this.#identityNow()))
        throw new Unusable("the model changed meanwhile");
      const { version } = this.#packed;
      const index = { version, model: this.#model, digest, identity: this.#identity, format, matrices };
      const { seal } = this.#options;
      return seal === undefined ? index : { ...index, mac: indexMac(index, seal) };
    });
  }

  /** Through the path again: the file that was opened may be closed, or no longer be there. */
  #identityNow(): ModelIdentity {
    const source = openByteSource(this.#model);
    try {
      return identify({ gguf: this.#file.gguf, source });
    } finally {
      source.close();
    }
  }

  /** Throws Unusable where the entry is not of this model file, as this build would pack it. */
  async #check(index: PackedIndex): Promise<void> {
    const { version, model, digest, identity, format } = index;
    const { seal } = this.#options;
    if (seal !== undefined && !sameMac(index.mac ?? "", indexMac(index, seal))) {
      throw new Unusable("this user did not pack them under this seal");
    }
    if (version !== this.#packed.version) throw new Unusable(`another version packed them (${version})`);
    if (model !== this.#model || format !== this.#options.format)
      throw new Unusable("they are another model's");
    if (!sameIdentity(identity, this.#identity)) throw new Unusable("the model has changed since");
    if (this.#options.verify && digest !== (await contentDigest(this.#model))) {
      throw new Unusable("the model's content has changed since");
    }
  }

  #ignore(reason: string): void {
    this.#options.onNote(`Packing the weights anew: those in ${this.#path} are not used, because ${reason}.`);
    this.#closeEntry();
  }

  #closeEntry(): void {
    this.#entry?.close();
    this.#entry = undefined;
  }

  /** One entry for each path, format, split, slice and root: a model that replaces another one replaces its packed weights, too. */
  #name(): string {
    const { format, degree, slice, seal } = this.#options;
    const held = slice === undefined ? [] : [slice.map(matrixKey)];
    const parts = [this.#model, format, degree, ...held, ...(seal === undefined ? [] : [seal.root])];
    const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
    const stem = basename(this.#model)
      .replace(/\.gguf$/i, "")
      .slice(0, 100);
    return `${stem}-${format}-${key.slice(0, 16)}${SUFFIX}`;
  }
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof ClawError ? message.replace(/\.$/, "") : message;
}
