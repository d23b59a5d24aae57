/** A peer that hands out parts of a model file, as the one who fetches them sees it. */

import { ClawError } from "../../base/mod.ts";
import type { Link, LinkAddress } from "../../kernels/mod.ts";
import { Questions, REFUSAL_BYTES_MAX } from "../link/mod.ts";
import type { Extent } from "./extent.ts";
import { extentBytes } from "./extent.ts";
import { ANSWER_MS, SEAL_BYTES_MAX } from "./limits.ts";
import { readSealAnswer, type SealAnswer, type SliceRequest, sliceRequestBytes } from "./message.ts";

/** Somebody who has a model's file. */
export interface SlicePeer {
  readonly name: string;
  readonly address: Pick<LinkAddress, "host" | "port">;
}

/** Opens a link to a peer that answers `SliceRequest`s of the model then. */
export type OpenSource = (peer: SlicePeer, root: string) => Promise<Link>;

const HASH_BYTES = 32;

/** Questions may be asked while others are not answered; answers come in their order. Errors of all: what the peer says, and those of links. */
export class SliceSource {
  readonly #questions: Questions;

  /** A link to a peer that agreed to hand out parts of the model. */
  constructor(link: Link) {
    this.#questions = new Questions(link, ANSWER_MS);
  }

  async seal(): Promise<SealAnswer> {
    return readSealAnswer(await this.#ask({ ask: "seal" }, SEAL_BYTES_MAX));
  }

  /** E_LINK_PEER where it is not as many bytes as were asked for. */
  bytes(of: Extent): Promise<Uint8Array> {
    return this.#exactly({ ask: "bytes", of }, extentBytes(of));
  }

  /** 32 bytes for each extent. */
  hashes(of: readonly Extent[]): Promise<Uint8Array> {
    return this.#exactly({ ask: "hashes", of }, HASH_BYTES * of.length);
  }

  close(): void {
    this.#questions.close();
  }

  async #exactly(request: SliceRequest, expected: number): Promise<Uint8Array> {
    // A refusal may be longer.
    const answer = await this.#ask(request, Math.max(expected, REFUSAL_BYTES_MAX));
    if (answer.length === expected) return answer;
    throw new ClawError("E_LINK_PEER", `It answered with ${answer.length} bytes where ${expected} were due.`);
  }

  #ask(request: SliceRequest, bytesMax: number): Promise<Uint8Array> {
    return this.#questions.ask(sliceRequestBytes(request), bytesMax);
  }
}
