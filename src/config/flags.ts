/** Command-line arguments to settings, by a table of options. */

import { parseArgs } from "node:util";
import { ClawError } from "../base/mod.ts";
import { entriesOf, isOfKind, type NamedOption, type Option, type OptionTable, readValue } from "./option.ts";
import { closest } from "./suggestion.ts";

export interface Invocation<S> {
  readonly settings: S;
  /** Those of the settings that flags gave. */
  readonly given: Partial<S>;
  /** What is no flag, in order. */
  readonly operands: readonly string[];
  /** --help or -h was given; then nothing was checked. */
  readonly help: boolean;
}

/** Reads flags as `--name value` or `--name=value`, anywhere; after `--` come only operands. Errors: E_USAGE. */
export function parseFlags<S>(table: OptionTable<S>, args: readonly string[]): Invocation<S> {
  const entries = entriesOf(table).filter(([, { flag }]) => flag !== undefined);
  const given: Record<string, unknown> = {};
  const { operands, flags } = tokenize(
    entries.map(([, option]) => option),
    args,
  );
  const help = flags.some(({ name }) => name === "help" || name === "h");
  if (!help) {
    for (const flag of flags) {
      const entry = entries.find(([, option]) => option.flag === flag.name);
      if (entry === undefined) throw unknownFlag(flag.raw, entries);
      const value = readValue(entry[1], givenText(entry[1], flag));
      given[entry[0]] = entry[1].kind.type === "records" ? another(given[entry[0]], value, entry[1]) : value;
    }
  }
  return { settings: { ...defaultsOf(table), ...given }, given: given as Partial<S>, operands, help };
}

/** The records that a flag gave before, and one more. */
function another(before: unknown, record: unknown, { flag, kind }: Option<unknown>): readonly unknown[] {
  const records = [...((before as readonly unknown[] | undefined) ?? []), record];
  if (isOfKind(kind, records)) return records;
  throw new ClawError("E_USAGE", `--${flag} was given ${records.length} times; that is too often.`);
}

/** Every setting as it is unless told otherwise. */
export function defaultsOf<S>(table: OptionTable<S>): S {
  const settings = entriesOf(table).map(([setting, { default: value }]) => [setting, value]);
  return Object.fromEntries(settings) as S;
}

interface Flag {
  readonly name: string;
  /** As it was written, dashes included. */
  readonly raw: string;
  readonly value: string | undefined;
}

function tokenize(
  options: readonly Option<unknown>[],
  args: readonly string[],
): { readonly operands: readonly string[]; readonly flags: readonly Flag[] } {
  const kinds = options.map(
    ({ flag = "", kind }) => [flag, { type: kind.type === "switch" ? "boolean" : "string" }] as const,
  );
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options: Object.fromEntries(kinds),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const flags = tokens.flatMap((token) =>
    token.kind === "option" ? [{ name: token.name, raw: token.rawName, value: token.value }] : [],
  );
  return { operands: positionals, flags };
}

function givenText({ kind, flag }: Option<unknown>, { value }: Flag): string {
  if (kind.type === "switch") {
    if (value === undefined) return "";
    throw new ClawError("E_USAGE", `--${flag} takes no value; ${JSON.stringify(value)} was given.`);
  }
  if (value === undefined || value === "" || value.startsWith("--")) {
    throw new ClawError("E_USAGE", `--${flag} needs a value.`);
  }
  return value;
}

function unknownFlag(raw: string, entries: readonly NamedOption[]): ClawError {
  const known = [...entries.map(([, { flag }]) => `--${flag}`), "--help"];
  const meant = closest(raw, known);
  const hint = meant === undefined ? "." : `; did you mean ${meant}?`;
  return new ClawError("E_USAGE", `There is no option ${raw}${hint}`);
}
