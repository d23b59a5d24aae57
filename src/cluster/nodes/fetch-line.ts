/** How a rank's process tells its node, line by line on its standard output, how far the slice is that it fetches. */

import { z } from "zod";
import type { FetchProgress } from "../slices/mod.ts";
import { FETCH_LINE_CHARS_MAX } from "./limits.ts";

const counter = z.int().nonnegative();
const lineShape = z.strictObject({
  fetch: z.strictObject({ done: counter, total: counter, fetched: counter }),
});

export function fetchLine(progress: FetchProgress): string {
  return `${JSON.stringify({ fetch: progress })}\n`;
}

/** Takes a stream's text in pieces and gives the progress that its lines say; other lines are passed over. */
export class FetchLines {
  readonly #onProgress: (progress: FetchProgress) => void;
  #rest = "";

  constructor(onProgress: (progress: FetchProgress) => void) {
    this.#onProgress = onProgress;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = (lines.pop() ?? "").slice(0, FETCH_LINE_CHARS_MAX);
    for (const line of lines) {
      const progress = progressOf(line);
      if (progress !== undefined) this.#onProgress(progress);
    }
  }
}

function progressOf(line: string): FetchProgress | undefined {
  try {
    return lineShape.parse(JSON.parse(line)).fetch;
  } catch {
    return undefined;
  }
}
