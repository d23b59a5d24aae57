/**
 * I/O: files. Hands out parts of model files over links, to whoever has the cluster's secret. It reads and hashes a piece at a time and
 * rests after each, so that who serves tokens on the same machine is not kept from it.
 */

import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { ClawError } from "../../base/mod.ts";
import type { ModelSeal } from "../../model/mod.ts";
import { openByteSource, readGguf } from "../../model/mod.ts";
import {
  answerOf,
  answerRoom,
  giveAnswer,
  jsonAnswer,
  nextQuestion,
  type PeerLink,
  refusal,
  Turns,
} from "../link/mod.ts";
import { type Extent, extentBytes, fits } from "./extent.ts";
import { readExtent } from "./extent-file.ts";
import { ASK_BYTES_MAX, HASHES_KEPT_MAX, IDLE_MS, LINKS_MAX, PIECE_BYTES_MAX, WORK_MAX } from "./limits.ts";
import { readSliceRequest, type SealAnswer, type SliceRequest } from "./message.ts";

/** A whole model file that parts are handed out of. Plain data. */
export interface HostedModel {
  readonly path: string;
  readonly seal: ModelSeal;
}

interface OpenModel {
  readonly file: FileHandle;
  readonly fileBytes: number;
  /** Before the tensors' data. */
  readonly headerBytes: number;
  /** By extent. */
  readonly hashes: Map<string, Uint8Array>;
}

const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);

export class SliceHost {
  readonly #models: ReadonlyMap<string, HostedModel>;
  readonly #open = new Map<string, Promise<OpenModel>>();
  readonly #links = new Set<PeerLink["link"]>();
  readonly #turns = new Turns(WORK_MAX);
  #closed = false;
  #handedOut = 0;

  constructor(models: readonly HostedModel[]) {
    this.#models = new Map(models.map((model) => [model.seal.root, model]));
  }

  /** Bytes of model files that went out. */
  get handedOut(): number {
    return this.#handedOut;
  }

  /** E_NODE where the model is none of its own, or too many are being served. */
  check(root: string): void {
    if (!this.#models.has(root)) throw new ClawError("E_NODE", `The model ${root} is not handed out here.`);
    if (this.#links.size >= LINKS_MAX) {
      throw new ClawError("E_NODE", `Parts of models are handed out over ${LINKS_MAX} links already.`);
    }
  }

  /**
   * Answers what a peer asks of a model that was checked, until it ends the link. E_LINK_PEER where it says what no member says, E_LINK
   * where it says nothing for long. The caller closes the link.
   */
  async serve({ link }: PeerLink, root: string): Promise<void> {
    this.#links.add(link);
    try {
      for (;;) {
        const request = await this.#next(link);
        if (request === undefined) return;
        await giveAnswer(link, await this.#attempt(root, request), IDLE_MS);
      }
    } finally {
      this.#links.delete(link);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const link of this.#links) link.end();
    const opened = await Promise.allSettled(this.#open.values());
    for (const model of opened) if (model.status === "fulfilled") await model.value.file.close();
  }

  /** Undefined where the peer has ended the link. */
  async #next(link: PeerLink["link"]): Promise<SliceRequest | undefined> {
    const question = await nextQuestion(link, { bytesMax: ASK_BYTES_MAX, idleMs: IDLE_MS });
    return question && readSliceRequest(question);
  }

  async #attempt(root: string, request: SliceRequest): Promise<Uint8Array> {
    try {
      if (request.ask === "seal") return await this.#sealOf(root);
      if (request.ask === "hashes") return await this.#hashesOf(root, request.of);
      return await this.#bytesOf(root, request.of);
    } catch (error) {
      return refusal(error);
    }
  }

  async #sealOf(root: string): Promise<Uint8Array> {
    const { seal } = this.#modelOf(root);
    const { fileBytes, headerBytes } = await this.#opened(root);
    const said: SealAnswer = { seal, fileBytes, headerBytes };
    return jsonAnswer(said);
  }

  async #bytesOf(root: string, extent: Extent): Promise<Uint8Array> {
    const model = await this.#checked(root, [extent]);
    const room = answerRoom(extentBytes(extent));
    await this.#turns.take(() => readExtent(model.file, extent, answerOf(room)));
    this.#handedOut += extentBytes(extent);
    return room;
  }

  async #hashesOf(root: string, extents: readonly Extent[]): Promise<Uint8Array> {
    const model = await this.#checked(root, extents);
    const room = answerRoom(HASH_BYTES * extents.length);
    const memory = new Uint8Array(PIECE_BYTES_MAX);
    for (const [i, extent] of extents.entries()) {
      const key = JSON.stringify(extent);
      const hash = model.hashes.get(key) ?? (await this.#hash(model, extent, memory));
      if (model.hashes.size >= HASHES_KEPT_MAX) model.hashes.clear();
      model.hashes.set(key, hash);
      answerOf(room).set(hash, HASH_BYTES * i);
    }
    return room;
  }

  #hash({ file }: OpenModel, extent: Extent, memory: Uint8Array): Promise<Uint8Array> {
    return this.#turns.take(async () => {
      const bytes = await readExtent(file, extent, memory);
      return createHash("sha256").update(LEAF).update(bytes).digest();
    });
  }

  /** E_LINK_PEER where some of it lies outside of the file. */
  async #checked(root: string, extents: readonly Extent[]): Promise<OpenModel> {
    const model = await this.#opened(root);
    for (const extent of extents) {
      if (fits(extent, model.fileBytes)) continue;
      const { offset, length, stride, count } = extent;
      const asked = `${count} runs of ${length} bytes, ${stride} apart, from ${offset}`;
      throw new ClawError("E_LINK_PEER", `The file has ${model.fileBytes} bytes; ${asked} were asked for.`);
    }
    return model;
  }

  #modelOf(root: string): HostedModel {
    const model = this.#models.get(root);
    if (model === undefined || this.#closed) {
      throw new ClawError("E_NODE", `The model ${root} is not handed out here.`);
    }
    return model;
  }

  #opened(root: string): Promise<OpenModel> {
    const { path } = this.#modelOf(root);
    const known = this.#open.get(root);
    if (known !== undefined) return known;
    const opening = openModel(path);
    this.#open.set(root, opening);
    opening.catch(() => this.#open.delete(root));
    return opening;
  }
}

/** E_FILE. */
async function openModel(path: string): Promise<OpenModel> {
  try {
    const file = await open(path);
    return { file, fileBytes: (await file.stat()).size, headerBytes: headerBytesOf(path), hashes: new Map() };
  } catch (cause) {
    throw new ClawError("E_FILE", "The model's file cannot be opened here any more.", { cause });
  }
}

function headerBytesOf(path: string): number {
  const source = openByteSource(path);
  try {
    return Math.min(readGguf(source).dataOffset, source.size);
  } finally {
    source.close();
  }
}
