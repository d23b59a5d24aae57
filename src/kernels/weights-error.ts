import { ClawError } from "../base/mod.ts";
import type { MatrixSpec } from "./contract.ts";

/** E_WEIGHTS for a row of a matrix, numbered as in the whole tensor. */
export function weightsError(spec: MatrixSpec, row: number): ClawError {
  return new ClawError(
    "E_WEIGHTS",
    `Tensor ${spec.name} holds NaN, infinity or a value beyond ${spec.format} in row ${row}.`,
  );
}
