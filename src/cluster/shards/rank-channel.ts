/** A rank as the engine's process hears it: answers in the order of what it was told, and beats between them. */

import { asClawError, ClawError } from "../../base/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { RankEar } from "./step-message.ts";

export interface ChannelListener {
  /** The rank said that it is there. */
  beat(): void;
  /** The link broke, or the rank said what went wrong; nothing more comes. */
  lost(error: ClawError): void;
}

/** Who waits for an answer. */
interface Awaited {
  readonly bytes: number;
  /** Where those after the first piece go; undefined: to `take`, with the first. */
  readonly rest: Uint8Array | undefined;
  readonly take: (answer: Uint8Array) => void;
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

  /**
   * The answer of so many bytes to what the rank was told last: `take` copies what it needs. What follows the first piece goes to `rest`
   * and not to `take`, where it is as long. Rejects with why there is no answer.
   */
  answer(bytes: number, take: (answer: Uint8Array) => void, rest?: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#awaited.push({ bytes, rest, take: (answer) => resolve(take(answer)), fail: reject });
    });
  }

  async #listen(listener: ChannelListener): Promise<never> {
    const ear = new RankEar(this.link);
    for (;;) {
      const answer = await ear.next(
        () => this.#awaited[0]?.bytes ?? 0,
        () => this.#awaited[0]?.rest,
      );
      listener.beat();
      if (answer === undefined) continue;
      const [awaited] = this.#awaited;
      if (awaited === undefined) throw new ClawError("E_LINK", "A rank answered what nobody had asked.");
      const { byteLength } = answer;
      if (byteLength !== awaited.bytes) {
        throw new ClawError(
          "E_LINK",
          `A rank answered with ${byteLength} bytes where ${awaited.bytes} were due.`,
        );
      }
      awaited.take(answer.bytes);
      this.#awaited.shift();
    }
  }
}
