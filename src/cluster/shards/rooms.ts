/** Memory for messages under way, used again and again: to make it anew takes several times as long as to fill it. */

import { assert } from "../../base/mod.ts";

export class Rooms {
  readonly #bytes: number;
  readonly #most: number;
  #made = 0;
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((room: Uint8Array) => void)[] = [];

  /** At most `most` rooms of `bytes` each, made when they are needed. */
  constructor(bytes: number, most: number) {
    this.#bytes = bytes;
    this.#most = most;
  }

  /** A room, when there is one; whoever asks first gets it first. What is in it is of no meaning. */
  async take(): Promise<Uint8Array> {
    const room = this.#free.pop();
    if (room !== undefined) return room;
    if (this.#made < this.#most) {
      this.#made++;
      return new Uint8Array(this.#bytes);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** A room that nobody uses any more. */
  give(room: Uint8Array): void {
    assert(room.byteLength === this.#bytes, "A room comes back whole.");
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(room);
    else next(room);
  }
}
