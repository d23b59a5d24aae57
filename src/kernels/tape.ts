/** Tapes of integers, read operation by operation. */

import { at, ClawError } from "../base/mod.ts";
import { OP, OPERANDS } from "./contract.ts";

export type OperationName = keyof typeof OP;

export interface TapeOperation {
  readonly name: OperationName;
  /** A view of the tape. */
  readonly operands: Int32Array;
}

const names = Object.keys(OP) as readonly OperationName[];
const hasPairs: ReadonlySet<OperationName> = new Set(["COMBINE", "SEND", "RECEIVE"]);

/** The operations of a tape before its end. E_INTERNAL where they are not whole; what operands name is not looked at. */
export function operationsOf(tape: Int32Array): TapeOperation[] {
  const operations: TapeOperation[] = [];
  for (let cursor = 0; tape[cursor] !== OP.END; ) {
    const name = names[tape[cursor] ?? -1];
    const end = name === undefined ? Number.POSITIVE_INFINITY : endOf(tape, cursor, name);
    if (name === undefined || end >= tape.length) {
      throw new ClawError("E_INTERNAL", `The program's tape is wrong at word ${cursor}.`);
    }
    operations.push({ name, operands: tape.subarray(cursor + 1, end) });
    cursor = end;
  }
  return operations;
}

function endOf(tape: Int32Array, cursor: number, name: OperationName): number {
  const pairs = hasPairs.has(name) ? Math.max(0, tape[cursor + OPERANDS[name]] ?? 0) : 0;
  return cursor + 1 + OPERANDS[name] + 2 * pairs;
}

/** What an operation names of the weights: which of its operands, and whether that is a matrix or a vector. */
const weightOperands: Partial<Record<OperationName, readonly ["matrix" | "vector", number]>> = {
  EMBED: ["matrix", 1],
  EMBED_PARTIAL: ["matrix", 1],
  RMS_NORM: ["vector", 2],
  LINEAR: ["matrix", 2],
  LINEAR_PARTIAL: ["matrix", 2],
  ROPE: ["vector", 1],
};

/** The ids that a device gave to the weights of a program, by the numbers the program names them with. */
export interface WeightIds {
  readonly matrices: readonly number[];
  readonly vectors: readonly number[];
}

/** A tape that names weights by their ids on a device instead of their numbers. */
export function bindTape(tape: Int32Array, { matrices, vectors }: WeightIds): Int32Array {
  const bound = tape.slice();
  for (const { name, operands } of operationsOf(bound)) {
    const place = weightOperands[name];
    if (place === undefined) continue;
    const [kind, operand] = place;
    operands[operand] = at(kind === "matrix" ? matrices : vectors, at(operands, operand));
  }
  return bound;
}
