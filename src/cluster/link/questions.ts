/** I/O: timers. Questions over a link, and their answers in the same order: as who asks sees it, and who answers. */

import { asClawError } from "../../base/mod.ts";
import type { Link } from "../../kernels/mod.ts";
import { answerRoom, readAnswer } from "./answer.ts";

/** Questions may be asked while others are not answered. Errors of all: what the peer says is against it, E_LINK_PEER, and those of links. */
export class Questions {
  readonly #link: Link;
  readonly #answerMs: number;
  #answered: Promise<unknown> = Promise.resolve();

  /** `answerMs`: how long the peer may take for an answer, until the link is ended. */
  constructor(link: Link, answerMs: number) {
    this.#link = link;
    this.#answerMs = answerMs;
  }

  /** Resolves to what was asked for. */
  async ask(question: Uint8Array, bytesMax: number): Promise<Uint8Array> {
    const room = answerRoom(bytesMax);
    const before = this.#answered;
    const answered = Promise.all([this.#link.queueSend(question), this.#link.queueReceive(room)]);
    this.#answered = answered.catch(() => {});
    await before; // its own patience is the peer's until then
    const late = setTimeout(() => this.#link.end(), this.#answerMs);
    try {
      const [, bytes] = await answered;
      return readAnswer(room.subarray(0, bytes));
    } finally {
      clearTimeout(late);
    }
  }

  close(): void {
    this.#link.end();
  }
}

/** The next question; undefined where the link has ended, be it that nothing was asked for `idleMs`. E_LINK_PEER. */
export async function nextQuestion(
  link: Link,
  { bytesMax, idleMs }: { readonly bytesMax: number; readonly idleMs: number },
): Promise<Uint8Array | undefined> {
  const idle = setTimeout(() => link.end(), idleMs);
  const into = new Uint8Array(bytesMax);
  try {
    return into.subarray(0, await link.queueReceive(into));
  } catch (error) {
    if (asClawError(error).code === "E_LINK") return undefined;
    throw error;
  } finally {
    clearTimeout(idle);
  }
}

/** Gives an answer. E_LINK where the link has ended, be it that the peer took nothing of it for so long. */
export async function giveAnswer(link: Link, answer: Uint8Array, limitMs: number): Promise<void> {
  const late = setTimeout(() => link.end(), limitMs);
  try {
    await link.queueSend(answer);
  } finally {
    clearTimeout(late);
  }
}
