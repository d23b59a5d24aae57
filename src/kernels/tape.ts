/** Tapes of integers, read operation by operation. */

import { at, ClawError } from "../base/mod.ts";
import { LIST_WORDS, OP, OPERANDS } from "./contract.ts";

export type OperationName = keyof typeof OP;

export interface TapeOperation {
  readonly name: OperationName;
  /** A view of the tape. */
  readonly operands: Int32Array;
}

const names = Object.keys(OP) as readonly OperationName[];

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
  const words = LIST_WORDS[name] ?? 0;
  const entries = words === 0 ? 0 : Math.max(0, tape[cursor + OPERANDS[name]] ?? 0);
  return cursor + 1 + OPERANDS[name] + words * entries;
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

/** Operations whose list names a vector at the head of each entry; a negative number stands for none. */
const vectorLists: ReadonlySet<OperationName> = new Set(["ADAPT_DOWN", "ADAPT_UP"]);

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
    if (place !== undefined) {
      const [kind, operand] = place;
      operands[operand] = at(kind === "matrix" ? matrices : vectors, at(operands, operand));
    }
    if (vectorLists.has(name)) bindList(operands, name, vectors);
  }
  return bound;
}

function bindList(operands: Int32Array, name: OperationName, vectors: readonly number[]): void {
  for (let head = OPERANDS[name]; head < operands.length; head += LIST_WORDS[name] ?? 1) {
    const vector = at(operands, head);
    if (vector >= 0) operands[head] = at(vectors, vector);
  }
}
