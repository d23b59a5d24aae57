/** A model file's metadata: named values, and accessors that say which kind they want. */

import { ClawError } from "../../base/mod.ts";
import { type GgufValue, narrowLong } from "./value.ts";

/** Errors of every accessor: E_GGUF, naming the key, what was wanted and what was found. */
export class Metadata {
  readonly #values: ReadonlyMap<string, GgufValue>;

  constructor(values: ReadonlyMap<string, GgufValue>) {
    this.#values = values;
  }

  get size(): number {
    return this.#values.size;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  keys(): IterableIterator<string> {
    return this.#values.keys();
  }

  entries(): IterableIterator<[string, GgufValue]> {
    return this.#values.entries();
  }

  string(key: string): string {
    return this.optionalString(key) ?? missing(key, "a string");
  }

  optionalString(key: string): string | undefined {
    const entry = this.#values.get(key);
    if (entry === undefined || entry.type === "string") return entry?.value;
    return mismatch(key, "a string", entry);
  }

  /** An integer or float of any width; a 64-bit integer that a number cannot hold exactly is refused. */
  number(key: string): number {
    return this.optionalNumber(key) ?? missing(key, "a number");
  }

  optionalNumber(key: string): number | undefined {
    const entry = this.#values.get(key);
    if (entry === undefined || typeof entry.value === "number") return entry?.value as number | undefined;
    return mismatch(key, "a number below 2^53", entry);
  }

  optionalBoolean(key: string): boolean | undefined {
    const entry = this.#values.get(key);
    if (entry === undefined || entry.type === "bool") return entry?.value;
    return mismatch(key, "a boolean", entry);
  }

  optionalStrings(key: string): readonly string[] | undefined {
    const entry = this.#values.get(key);
    if (entry === undefined) return undefined;
    if (entry.type === "array" && entry.of === "string") return entry.value;
    return mismatch(key, "an array of strings", entry);
  }

  optionalNumbers(key: string): ArrayLike<number> | undefined {
    const entry = this.#values.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== "array" || entry.of === "string" || entry.of === "bool") {
      return mismatch(key, "an array of numbers", entry);
    }
    if (entry.of !== "u64" && entry.of !== "i64") return entry.value;
    return Float64Array.from(entry.value, (long) => {
      const number = narrowLong(long);
      return typeof number === "number" ? number : mismatch(key, "numbers below 2^53", entry);
    });
  }
}

function missing(key: string, wanted: string): never {
  throw new ClawError("E_GGUF", `The metadata key "${key}" is missing; it should be ${wanted}.`);
}

function mismatch(key: string, wanted: string, entry: GgufValue): never {
  throw new ClawError("E_GGUF", `The metadata key "${key}" should be ${wanted}; it is ${describe(entry)}.`);
}

function describe(entry: GgufValue): string {
  if (entry.type === "array") return `an array of ${entry.of} with ${entry.value.length} elements`;
  if (entry.type === "string") return "a string";
  return `${entry.value} of type ${entry.type}`;
}
