/** An option as data: one record makes its flag, its place in the configuration file, its checks and its documentation. */

import { ClawError, type ErrorCode } from "../base/mod.ts";

export type OptionKind =
  /** True or false; its flag turns it to what it is not by default. */
  | { readonly type: "switch" }
  | {
      readonly type: "text";
      readonly placeholder: string;
      readonly pattern: RegExp | undefined;
      /** What `pattern` wants, in words. */
      readonly expected: string;
    }
  | { readonly type: "number"; readonly whole: boolean; readonly min: number; readonly max: number }
  | { readonly type: "choice"; readonly choices: readonly string[] }
  /** Several of `choices`. */
  | { readonly type: "choices"; readonly choices: readonly string[] }
  /** A list of objects, each described by a table of its own; exactly one of `oneOf` is given in each. */
  | {
      readonly type: "records";
      readonly fields: readonly NamedOption[];
      readonly required: readonly string[];
      readonly oneOf: readonly string[];
      readonly max: number;
      /** How a flag spells one of them; the flag may be given again for more. */
      readonly spelling: RecordSpelling | undefined;
    };

export interface RecordSpelling {
  readonly placeholder: string;
  /** Undefined for what spells none. */
  read(text: string): object | undefined;
}

export interface Option<T> {
  /** Without its dashes; undefined: no flag. */
  readonly flag: string | undefined;
  /** In the configuration file, as `section.name`; undefined: not there. */
  readonly name: string | undefined;
  /** A phrase on what its value decides. */
  readonly meaning: string;
  /** What the flag does, where that is not its meaning. */
  readonly flagMeaning: string | undefined;
  /** What a number counts. */
  readonly unit: string | undefined;
  /** Whether a running server takes a change. */
  readonly live: boolean;
  readonly kind: OptionKind;
  readonly default: T;
  /** What a default of undefined comes to, for the help. */
  readonly otherwise: string | undefined;
  /** What a wrong value on the command line is. */
  readonly code: ErrorCode;
}

/** An option with the name of its setting in code. */
export type NamedOption = readonly [setting: string, option: Option<unknown>];

/** The options of a command by the names of its settings. */
export type OptionTable<S> = { readonly [Name in keyof S]: Option<S[Name]> };

/** What every kind of option is described by, beside what is the kind's own. */
interface Common {
  readonly flag?: string;
  readonly name?: string;
  readonly meaning: string;
  readonly flagMeaning?: string;
  readonly unit?: string;
  readonly live?: boolean;
  readonly otherwise?: string;
  readonly code?: ErrorCode;
}

interface Description<D> extends Common {
  readonly default: D;
}

function option<T>(description: Description<T>, kind: OptionKind): Option<T> {
  const { flag, name, meaning, flagMeaning, unit, live = false, otherwise, code = "E_USAGE" } = description;
  return {
    flag,
    name,
    meaning,
    flagMeaning,
    unit,
    live,
    kind,
    default: description.default,
    otherwise,
    code,
  };
}

/** The options of a table, in its order. */
export function entriesOf<S>(table: OptionTable<S>): readonly NamedOption[] {
  return Object.entries(table as Readonly<Record<string, Option<unknown>>>);
}

/** A switch of the command line alone, off by default. */
export function switchOption(flag: string, meaning: string): Option<boolean> {
  return option<boolean>({ flag, meaning, default: false }, { type: "switch" });
}

/** A switch of the configuration file; its flag turns it to what it is not by default. */
export function booleanOption(description: Description<boolean>): Option<boolean> {
  return option<boolean>(description, { type: "switch" });
}

interface TextKind {
  readonly placeholder: string;
  readonly pattern?: RegExp;
  readonly expected?: string;
}

export function textOption<D extends string | undefined>(
  description: Description<D> & TextKind,
): Option<string | D> {
  const { placeholder, pattern, expected = "a text" } = description;
  return option<string | D>(description, { type: "text", placeholder, pattern, expected });
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

export function choicesOption<const C extends string>(
  description: Description<readonly C[]> & { readonly choices: readonly C[] },
): Option<readonly C[]> {
  const { choices } = description;
  return option<readonly C[]>(description, { type: "choices", choices });
}

export function recordsOption<R>(
  description: Common & {
    readonly fields: OptionTable<R>;
    readonly required: readonly string[];
    readonly oneOf: readonly string[];
    readonly max: number;
    readonly spelling?: RecordSpelling;
  },
): Option<readonly R[]> {
  const { required, oneOf, max, spelling } = description;
  const fields = entriesOf(description.fields);
  return option<readonly R[]>(
    { ...description, default: [] },
    { type: "records", fields, required, oneOf, max, spelling },
  );
}

/** The value that `text` spells on the command line, of records one of them. Errors: the option's code, naming the flag and what was expected. */
export function readValue(
  { flag, kind, code, unit, default: usual }: Option<unknown>,
  text: string,
): unknown {
  if (kind.type === "switch") return !usual;
  if (kind.type === "records") {
    const record = kind.spelling?.read(text);
    if (record !== undefined) return record;
    const expected = kind.spelling?.placeholder;
    throw new ClawError(code, `--${flag} is ${JSON.stringify(text)}; ${expected} was expected.`);
  }
  const value = kind.type === "number" && text.trim() !== "" ? Number(text) : text;
  if (isOfKind(kind, value)) return value;
  throw new ClawError(code, `--${flag} is ${JSON.stringify(text)}; ${expectation(kind, unit)} was expected.`);
}

/** Whether a value is one of those that an option takes; the fields of records are looked at elsewhere. */
export function isOfKind(kind: OptionKind, value: unknown): boolean {
  switch (kind.type) {
    case "switch":
      return typeof value === "boolean";
    case "text":
      return typeof value === "string" && value !== "" && (kind.pattern?.test(value) ?? true);
    case "number":
      if (typeof value !== "number" || !(value >= kind.min && value <= kind.max)) return false;
      return !kind.whole || Number.isInteger(value);
    case "choice":
      return typeof value === "string" && kind.choices.includes(value);
    case "choices":
      return (
        Array.isArray(value) &&
        value.length > 0 &&
        new Set(value).size === value.length &&
        value.every((each) => kind.choices.includes(each))
      );
    case "records":
      return Array.isArray(value) && value.length <= kind.max;
  }
}

/** What an option takes, in words. */
export function expectation(kind: OptionKind, unit?: string): string {
  switch (kind.type) {
    case "switch":
      return "true or false";
    case "text":
      return kind.expected;
    case "number": {
      const noun = `${kind.whole ? "a whole number" : "a number"}${unit === undefined ? "" : ` of ${unit}`}`;
      if (kind.max === Number.MAX_SAFE_INTEGER) return `${noun} from ${kind.min} on`;
      return `${noun} from ${kind.min} to ${kind.max}`;
    }
    case "choice":
      return `one of ${kind.choices.join(", ")}`;
    case "choices":
      return `a list of some of ${kind.choices.join(", ")}`;
    case "records":
      return `a list of at most ${kind.max} objects`;
  }
}
