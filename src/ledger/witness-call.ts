/** I/O: the way to a witness over HTTP (C2SP tlog-witness). */

import { ClawError } from "../base/mod.ts";
import type { WitnessCall } from "./cosigning.ts";
import { WITNESS_ANSWER_BYTES_MAX, WITNESS_CALL_MS } from "./limits.ts";

/** Calls the witness at `url`, until `stop` is aborted. Errors: E_LEDGER when it does not answer in time. */
export function witnessCall(url: string, stop: AbortSignal): WitnessCall {
  const address = `${url.replace(/\/+$/, "")}/add-checkpoint`;
  return async (body) => {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(WITNESS_CALL_MS)]);
    try {
      const response = await fetch(address, { method: "POST", body, signal, redirect: "error" });
      return { status: response.status, body: await textOf(response) };
    } catch (cause) {
      throw new ClawError("E_LEDGER", `The witness at ${url} does not answer (${reasonOf(cause)}).`, {
        cause,
      });
    }
  };
}

/** Its beginning where it is longer than a witness's answer may be. */
async function textOf({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body ?? []) {
    parts.push(part);
    length += part.length;
    if (length > WITNESS_ANSWER_BYTES_MAX) break;
  }
  return Buffer.concat(parts).subarray(0, WITNESS_ANSWER_BYTES_MAX).toString();
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof Error) return "code" in cause ? String(cause.code) : cause.message;
  return error.name === "TimeoutError" ? `${WITNESS_CALL_MS / 1000} seconds have passed` : error.message;
}
