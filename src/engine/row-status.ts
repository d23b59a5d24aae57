/** What a row's status says went wrong, as an error a user can read. */

import { ClawError } from "../base/mod.ts";
import { ROW_STATUS } from "../kernels/mod.ts";

/** The status of several rows as one. */
export function joinedStatus(status: Int32Array): number {
  return status.reduce((all, bits) => all | bits, 0);
}

/** E_NUMERIC for a status that is not 0. */
export function statusError(status: number): ClawError {
  const cause =
    status & ROW_STATUS.KV_RANGE
      ? "A key or value is not finite, or beyond what the KV cache can hold"
      : "An activation is not finite";
  return new ClawError("E_NUMERIC", `${cause}, at this prompt.`);
}
