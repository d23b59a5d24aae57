/** Links between ranks over those of the native core: of one process, of one host, or between hosts. */

import { ClawError } from "../../base/mod.ts";
import {
  LINK_MESSAGE_BYTES_MAX,
  type Link,
  linkPair,
  type NativeLink,
  type RankLink,
} from "../../kernels/mod.ts";
import type { PeerLink } from "../link/mod.ts";
import { lengthError } from "./memory-link.ts";

export class NativeRankLink implements RankLink {
  readonly native: NativeLink;
  readonly #link: Link;
  readonly #messageBytesMax: number;
  /** Who it leads to, for errors. */
  readonly #name: string;

  constructor({ link, peer, messageBytesMax }: PeerLink) {
    this.native = link.native;
    this.#link = link;
    this.#messageBytesMax = messageBytesMax;
    this.#name = peer;
  }

  async send(bytes: Uint8Array): Promise<void> {
    await this.#named(Promise.all(this.#pieces(bytes).map((piece) => this.#link.queueSend(piece))));
  }

  async receive(into: Uint8Array): Promise<void> {
    const pieces = this.#pieces(into);
    const received = await this.#named(Promise.all(pieces.map((piece) => this.#link.queueReceive(piece))));
    for (const [i, { byteLength }] of pieces.entries()) {
      const bytes = received[i] ?? 0;
      if (bytes !== byteLength) throw lengthError(bytes, byteLength);
    }
  }

  async receiveSome(into: Uint8Array): Promise<number> {
    return this.#named(this.#link.queueReceive(into.subarray(0, this.#messageBytesMax)));
  }

  close(): void {
    this.#link.end();
  }

  /** Both sides know how long a message is, and cut it in the same places. */
  #pieces(bytes: Uint8Array): Uint8Array[] {
    const most = this.#messageBytesMax;
    const count = Math.max(1, Math.ceil(bytes.byteLength / most));
    return Array.from({ length: count }, (_, i) => bytes.subarray(i * most, (i + 1) * most));
  }

  async #named<T>(moved: Promise<T>): Promise<T> {
    try {
      return await moved;
    } catch (error) {
      if (!(error instanceof ClawError)) throw error;
      throw new ClawError(error.code, `Talking to ${this.#name} failed. ${error.message}`, { cause: error });
    }
  }
}

/** The two ends of a link between two ranks of this process. E_LINK, E_LINK_MEMORY. */
export function nativePair(): readonly [RankLink, RankLink] {
  const [one, other] = linkPair();
  const named = (link: Link): RankLink =>
    new NativeRankLink({ link, peer: "another rank", messageBytesMax: LINK_MESSAGE_BYTES_MAX });
  return [named(one), named(other)];
}
