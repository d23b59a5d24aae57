/** A rank as the engine's process hears it: answers in the order of what it was told, and beats between them. */

import { asClawError, ClawError } from "../../base/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { receiveHead, receiveText } from "./step-message.ts";

export interface ChannelListener {
  /** The rank said that it is there. */
  beat(): void;
  /** The link broke, or the rank said what went wrong; nothing more comes. */
  lost(error: ClawError): void;
}

/** Who waits for an answer. */
interface Awaited {
  /** Receives it; it is of so many bytes. */
  readonly take: (length: number) => Promise<void>;
  readonly fail: (error: ClawError) => void;
}

export class RankChannel {
  readonly link: RankLink;
  readonly #awaited: Awaited[] = [];
  #failure: ClawError | undefined;

  /** From now on nobody else receives over `link`. */
  constructor(link: RankLink, listener: ChannelListener) {
    this.link = link;
    this.#listen(listener).catch((thrown) => {
      const error = asClawError(thrown);
      this.#failure = error;
      for (const { fail } of this.#awaited.splice(0)) fail(error);
      listener.lost(error);
    });
  }

  /** Fills these parts with the answer to what the rank was told last. Rejects with why there is none. */
  answer(...parts: readonly Uint8Array[]): Promise<void> {
    const expected = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return this.#next(async (length) => {
      if (length !== expected) {
        throw new ClawError("E_LINK", `A rank answered with ${length} bytes where ${expected} were due.`);
      }
      await Promise.all(parts.map((part) => this.link.receive(part)));
    });
  }

  /** The same of an answer in words. */
  report(): Promise<unknown> {
    return this.#next(async (length) => JSON.parse(await receiveText(this.link, length)));
  }

  #next<T>(receive: (length: number) => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#awaited.push({ take: async (length) => resolve(await receive(length)), fail: reject });
    });
  }

  async #listen(listener: ChannelListener): Promise<never> {
    for (;;) {
      const { what, length } = await receiveHead(this.link);
      listener.beat();
      if (what === "beat") continue;
      const [awaited] = this.#awaited;
      if (awaited === undefined) throw new ClawError("E_LINK", "A rank answered what nobody had asked.");
      await awaited.take(length);
      this.#awaited.shift();
    }
  }
}
