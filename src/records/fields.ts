/** Shapes of JSON as data: which fields an object has, and what each may be. Anything else is refused. */

import { ClawError } from "../base/mod.ts";
import type { JsonValue } from "./canonical.ts";

/** What is wrong with a value at `path`, if anything. */
type Fault = (value: JsonValue, path: string) => string | undefined;

export interface Field {
  readonly optional: boolean;
  readonly fault: Fault;
}

function field(expected: string, holds: (value: JsonValue) => boolean): Field {
  return {
    optional: false,
    fault: (value, path) => (holds(value) ? undefined : `${path} is not ${expected}`),
  };
}

export const number: Field = field("a number", (value) => typeof value === "number");

export const integer: Field = field("a whole number", Number.isSafeInteger);

export const count: Field = field(
  "a whole number of 0 or more",
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);

/** What commitments take for a token: 31 bits. A larger one would be hashed as another token is. */
export const token: Field = field(
  "a token",
  (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31,
);

/** At most so many UTF-16 units. */
export function text(lengthMax: number): Field {
  return field(
    `a text of at most ${lengthMax}`,
    (value) => typeof value === "string" && value.length <= lengthMax,
  );
}

/** So many bytes in lower-case hexadecimal. */
export function hex(bytes: number): Field {
  return field(
    `${bytes} bytes in hexadecimal`,
    (value) => typeof value === "string" && value.length === bytes * 2 && /^[0-9a-f]*$/.test(value),
  );
}

export function oneOf(...choices: readonly (string | number)[]): Field {
  return field(choices.join(" or "), (value) => choices.some((choice) => choice === value));
}

export function optional(of: Field): Field {
  return { optional: true, fault: of.fault };
}

/** A list of at most `max`. */
export function each(of: Field, max: number): Field {
  const fault: Fault = (value, path) => {
    if (!Array.isArray(value) || value.length > max) return `${path} is not a list of at most ${max}`;
    return first((value as readonly JsonValue[]).map((item, i) => () => of.fault(item, `${path}[${i}]`)));
  };
  return { optional: false, fault };
}

/** A list of just these. */
export function tuple(...items: readonly Field[]): Field {
  const fault: Fault = (value, path) => {
    if (!Array.isArray(value) || value.length !== items.length)
      return `${path} is not a list of ${items.length}`;
    return first(items.map((of, i) => () => of.fault(value[i] as JsonValue, `${path}[${i}]`)));
  };
  return { optional: false, fault };
}

export function record(shape: Readonly<Record<string, Field>>): Field {
  const names = Object.keys(shape);
  const fault: Fault = (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return `${path} is not an object`;
    const given = value as { readonly [name: string]: JsonValue | undefined };
    const unknown = Object.keys(given).find((name) => !names.includes(name) && given[name] !== undefined);
    if (unknown !== undefined) return `${path} has the unknown field ${unknown}`;
    return first(
      names.map((name) => () => {
        const [of, member] = [shape[name], given[name]];
        if (member === undefined) return of?.optional ? undefined : `${path} lacks ${name}`;
        return of?.fault(member, `${path}.${name}`);
      }),
    );
  };
  return { optional: false, fault };
}

/** Errors: `code`, naming the field. */
export function checkFields(shape: Field, value: JsonValue, code: "E_ENTRY" | "E_RECEIPT"): void {
  const fault = shape.fault(value, code === "E_ENTRY" ? "entry" : "receipt");
  if (fault !== undefined) throw new ClawError(code, `The field ${fault}.`);
}

function first(checks: readonly (() => string | undefined)[]): string | undefined {
  for (const check of checks) {
    const fault = check();
    if (fault !== undefined) return fault;
  }
  return undefined;
}
