/** What a row's status says went wrong, as an error a user can read. */

import { at, ClawError } from "../base/mod.ts";
import { ROW_STATUS } from "../kernels/mod.ts";

/** The status of rows [first, end) as one. */
export function joinedStatus(status: Int32Array, first: number, end: number): number {
  let all = 0;
  for (let row = first; row < end; row++) all |= at(status, row);
  return all;
}

/** E_NUMERIC for a status that is not 0. */
export function statusError(status: number): ClawError {
  const cause =
    status & ROW_STATUS.KV_RANGE
      ? "A key or value is not finite, or beyond what the KV cache can hold"
      : "An activation is not finite";
  return new ClawError("E_NUMERIC", `${cause}, at this prompt.`);
}
