/** Generation that a signal ends. */

import { ClawError } from "../base/mod.ts";
import type { TokenGenerator } from "./client.ts";

/**
 * The same generator, whose streams end with E_CANCELLED at once when `signal` is aborted, also while they wait for a
 * token.
 */
export function abortable(generator: TokenGenerator, signal: AbortSignal): TokenGenerator {
  return {
    async *generate(request) {
      if (signal.aborted) throw cancelled();
      const stream = generator.generate(request)[Symbol.asyncIterator]();
      const leave = (): void => void stream.return?.();
      signal.addEventListener("abort", leave, { once: true });
      try {
        yield* { [Symbol.asyncIterator]: () => stream };
      } finally {
        signal.removeEventListener("abort", leave);
      }
      if (signal.aborted) throw cancelled();
    },
  };
}

function cancelled(): ClawError {
  return new ClawError("E_CANCELLED", "The request was cancelled.");
}
