/** An option as data: one record makes its flag, its check and its line of help. */

import { ClawError, type ErrorCode } from "../base/mod.ts";

export type OptionKind =
  /** Present or absent. */
  | { readonly type: "switch" }
  | { readonly type: "text"; readonly placeholder: string }
  | { readonly type: "number"; readonly whole: boolean; readonly min: number; readonly max: number }
  | { readonly type: "choice"; readonly choices: readonly string[] };

export interface Option<T> {
  /** Without its dashes. */
  readonly flag: string;
  /** A phrase for the help, units included. */
  readonly meaning: string;
  readonly kind: OptionKind;
  readonly default: T;
  /** What a default of undefined comes to, for the help. */
  readonly otherwise: string | undefined;
  /** What a wrong value is. */
  readonly code: ErrorCode;
}

/** The options of a command by the names of its settings. */
export type OptionTable<S> = { readonly [Name in keyof S]: Option<S[Name]> };

interface Description<D> {
  readonly flag: string;
  readonly meaning: string;
  readonly default: D;
  readonly otherwise?: string;
  readonly code?: ErrorCode;
}

function option<T>(description: Description<T>, kind: OptionKind): Option<T> {
  const { flag, meaning, otherwise, code = "E_USAGE" } = description;
  return { flag, meaning, kind, default: description.default, otherwise, code };
}

export function switchOption(flag: string, meaning: string): Option<boolean> {
  return option<boolean>({ flag, meaning, default: false }, { type: "switch" });
}

export function textOption<D extends string | undefined>(
  description: Description<D> & { readonly placeholder: string },
): Option<string | D> {
  const { placeholder } = description;
  return option<string | D>(description, { type: "text", placeholder });
}

export function numberOption<D extends number | undefined>(
  description: Description<D> & { readonly range: readonly [number, number]; readonly whole?: boolean },
): Option<number | D> {
  const [min, max] = description.range;
  return option<number | D>(description, { type: "number", whole: description.whole ?? true, min, max });
}

export function choiceOption<const C extends string, D extends C | undefined>(
  description: Description<D> & { readonly choices: readonly C[] },
): Option<C | D> {
  const { choices } = description;
  return option<C | D>(description, { type: "choice", choices });
}

/** The value that `text` spells. Errors: the option's code, naming the flag and what was expected. */
export function readValue({ flag, kind, code }: Option<unknown>, text: string): unknown {
  switch (kind.type) {
    case "switch":
      return true;
    case "text":
      return text;
    case "number": {
      const value = text.trim() === "" ? Number.NaN : Number(text);
      if (value >= kind.min && value <= kind.max && (!kind.whole || Number.isInteger(value))) return value;
      break;
    }
    case "choice":
      if (kind.choices.includes(text)) return text;
  }
  throw new ClawError(code, `--${flag} is ${JSON.stringify(text)}; ${expectation(kind)} was expected.`);
}

function expectation(kind: OptionKind): string {
  if (kind.type === "choice") return `one of ${kind.choices.join(", ")}`;
  if (kind.type !== "number") return "text";
  const noun = kind.whole ? "a whole number" : "a number";
  if (kind.max === Number.MAX_SAFE_INTEGER) return `${noun} from ${kind.min} on`;
  return `${noun} from ${kind.min} to ${kind.max}`;
}
