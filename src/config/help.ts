/** Help texts, made from the records that also check the options. */

import { entriesOf, type Option, type OptionTable } from "./option.ts";

export interface HelpTopic<S> {
  /** The command as it is typed: `claw run`. */
  readonly usage: string;
  readonly summary: string;
  readonly options: OptionTable<S>;
}

export function helpText<S>({ usage, summary, options }: HelpTopic<S>): string {
  const rows = entriesOf(options)
    .filter(([, { flag }]) => flag !== undefined)
    .map(([, option]) => [spelling(option), description(option)] as const);
  const lines = twoColumns([...rows, ["--help", "print this text"]]);
  return `Usage: ${usage} [options]\n\n${summary}\n\nOptions:\n${lines}\n`;
}

/** Rows of two columns, the second one aligned. */
export function twoColumns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}

function spelling({ flag, kind }: Option<unknown>): string {
  switch (kind.type) {
    case "switch":
      return `--${flag}`;
    case "text":
      return `--${flag} ${kind.placeholder}`;
    case "number":
      return `--${flag} N`;
    case "choice":
      return `--${flag} ${kind.choices.join("|")}`;
    case "records":
      return `--${flag} ${kind.spelling?.placeholder ?? ""}`;
    case "choices":
      // No flag can spell these.
      return "";
  }
}

function description({ meaning, flagMeaning, default: value, otherwise }: Option<unknown>): string {
  if (typeof value === "boolean" || Array.isArray(value)) return flagMeaning ?? meaning;
  const usual = value === undefined ? otherwise : String(value);
  return usual === undefined ? meaning : `${meaning} (default: ${usual})`;
}
