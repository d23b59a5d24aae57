/** A rank as the engine's process hears it: answers in the order of what it was told, and beats between them. */

import { asClawError, ClawError } from "../../base/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { REPORT_BYTES_MAX } from "./limits.ts";
import { parseReport, RankEar } from "./step-message.ts";

export interface ChannelListener {
  /** The rank said that it is there. */
  beat(): void;
  /** The link broke, or the rank said what went wrong; nothing more comes. */
  lost(error: ClawError): void;
}

/** Who waits for an answer. */
interface Awaited {
  /** It has at most so many bytes. */
  readonly bytesMax: number;
  readonly take: (bytes: Uint8Array) => void;
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

  /** The answer of so many bytes to what the rank was told last: `take` copies what it needs. Rejects with why there is none. */
  answer(expected: number, take: (bytes: Uint8Array) => void): Promise<void> {
    return this.#next(expected, (bytes) => {
      const { byteLength } = bytes;
      if (byteLength === expected) return take(bytes);
      throw new ClawError("E_LINK", `A rank answered with ${byteLength} bytes where ${expected} were due.`);
    });
  }

  /** The same of an answer in words. */
  report(): Promise<unknown> {
    return this.#next(REPORT_BYTES_MAX, parseReport);
  }

  #next<T>(bytesMax: number, read: (bytes: Uint8Array) => T): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#awaited.push({ bytesMax, take: (bytes) => resolve(read(bytes)), fail: reject });
    });
  }

  async #listen(listener: ChannelListener): Promise<never> {
    const ear = new RankEar(this.link);
    for (;;) {
      const bytes = await ear.next(() => this.#awaited[0]?.bytesMax ?? 0);
      listener.beat();
      if (bytes === undefined) continue;
      const [awaited] = this.#awaited;
      if (awaited === undefined) throw new ClawError("E_LINK", "A rank answered what nobody had asked.");
      awaited.take(bytes);
      this.#awaited.shift();
    }
  }
}
