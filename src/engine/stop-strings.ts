/** Finds stop strings in a stream of text and never lets a part of one through. */

export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  #found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** Whether a stop string has come by; the text before it was released, nothing after it will be. */
  get found(): boolean {
    return this.#found;
  }

  /** Takes text in; returns what can no longer be part of a stop string. */
  push(text: string): string {
    if (this.#found) return "";
    const all = this.#held + text;
    const end = this.#earliest(all);
    if (end >= 0) {
      this.#found = true;
      this.#held = "";
      return all.slice(0, end);
    }
    const keep = this.#possibleBeginning(all);
    this.#held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** Releases what was held back when the text ends without a stop string. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /**
   * Where the stop string begins that is complete first (the longest of those that end together); -1 for none.
   * Counting from the end makes the answer independent of the pieces the text came in.
   */
  #earliest(text: string): number {
    let begin = -1;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const place = text.indexOf(stop);
      if (place < 0 || place + stop.length > end) continue;
      begin = place + stop.length < end ? place : Math.min(begin, place);
      end = place + stop.length;
    }
    return begin;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #possibleBeginning(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
