/** Links between ranks of one process: messages are copied through a queue. */

import { ClawError } from "../../base/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";

interface Reader {
  readonly into: Uint8Array;
  /** Whether a shorter message will do. */
  readonly some: boolean;
  readonly resolve: (bytes: number) => void;
  readonly reject: (error: ClawError) => void;
}

/** One direction: messages that wait for a reader, or readers that wait for a message; never both. */
class Direction {
  readonly #messages: Uint8Array[] = [];
  readonly #readers: Reader[] = [];
  #closed = false;

  async push(bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw closedError();
    const reader = this.#readers.shift();
    if (reader === undefined) this.#messages.push(bytes.slice());
    else hand(bytes, reader);
  }

  pull(into: Uint8Array, some = false): Promise<number> {
    return new Promise((resolve, reject) => {
      const message = this.#messages.shift();
      if (message !== undefined) hand(message, { into, some, resolve, reject });
      else if (this.#closed) reject(closedError());
      else this.#readers.push({ into, some, resolve, reject });
    });
  }

  close(): void {
    this.#closed = true;
    for (const { reject } of this.#readers.splice(0)) reject(closedError());
  }
}

function hand(message: Uint8Array, { into, some, resolve, reject }: Reader): void {
  const { byteLength } = message;
  if (byteLength === into.byteLength || (some && byteLength < into.byteLength)) {
    into.set(message);
    resolve(byteLength);
  } else {
    reject(lengthError(message.byteLength, into.byteLength));
  }
}

/** A message is not what the other side was to send. */
export function lengthError(actual: number, expected: number): ClawError {
  return new ClawError("E_LINK", `A rank sent a message of ${actual} bytes where ${expected} were due.`);
}

function closedError(): ClawError {
  return new ClawError("E_LINK", "The link to another rank is closed.");
}

/** The two ends of a new link. */
export function memoryLink(): readonly [RankLink, RankLink] {
  const [there, back] = [new Direction(), new Direction()];
  const close = (): void => {
    there.close();
    back.close();
  };
  const side = (out: Direction, back: Direction): RankLink => ({
    send: (bytes) => out.push(bytes),
    receive: async (into) => {
      await back.pull(into);
    },
    receiveSome: (into) => back.pull(into, true),
    close,
  });
  return [side(there, back), side(back, there)];
}
