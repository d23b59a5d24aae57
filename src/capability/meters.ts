/** Checks that count: read from a token's blocks, because Datalog can compare a figure but not keep it. */

import { ClawError } from "../base/mod.ts";
import { RATE_REQUESTS_MAX, RATE_SECONDS_MAX } from "./limits.ts";

/** What one block allows to be spent under its revocation id. */
export interface Meter {
  readonly block: number;
  readonly counts: "tokens" | "requests";
  readonly limit: number;
  /** Over how many seconds; undefined: for ever. */
  readonly seconds: number | undefined;
}

const budget = /^check if spent\("(tokens|requests)", (\d{1,2}), \$n\), \$n < (\d{1,15})$/;
const rate = /^check if recent\("requests", (\d{1,2}), (\d{1,5}), \$n\), \$n < (\d{1,5})$/;

/** Texts, as the library prints them: bare, so that one with a quotation mark seems to end there. */
const texts = /"[^"]*"/g;

/**
 * The meters of a block. A block that speaks of what was spent in any other way is refused as a whole: a limit that is
 * not understood is not one that may be passed over. Errors: E_TOKEN.
 */
export function metersOf(source: string, block: number): readonly Meter[] {
  return source.split(/;\n/).flatMap((line): Meter[] => {
    const statement = line.trim();
    const spent = budget.exec(statement);
    if (spent !== null && Number(spent[2]) === block) {
      const counts = spent[1] === "tokens" ? "tokens" : "requests";
      return [{ block, counts, limit: Number(spent[3]), seconds: undefined }];
    }
    const recent = rate.exec(statement);
    if (recent !== null && Number(recent[1]) === block) {
      const meter = {
        block,
        counts: "requests",
        limit: Number(recent[3]),
        seconds: Number(recent[2]),
      } as const;
      if (meter.limit <= RATE_REQUESTS_MAX && meter.seconds <= RATE_SECONDS_MAX) return [meter];
    }
    if (!/\b(?:spent|recent)\b/.test(statement.replace(texts, '""'))) return [];
    throw new ClawError("E_TOKEN", `Block ${block} of the token has a budget of a form that is not known.`);
  });
}

/** Facts with which all meters pass: who counts decides. */
export function meterFacts(meters: readonly Meter[]): string {
  return meters
    .map(({ counts, block, seconds }) =>
      seconds === undefined
        ? `spent("${counts}", ${block}, 0);`
        : `recent("${counts}", ${block}, ${seconds}, 0);`,
    )
    .join(" ");
}

/**
 * Until when a decision at `now` holds, in seconds: dates can only be compared, so it may change where a date of the
 * token is reached or has just passed, and nowhere else.
 */
export function holdsUntil(sources: readonly string[], now: number): number {
  const dates = sources.flatMap(
    (source) => source.match(/\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)/g) ?? [],
  );
  const turns = dates.map((date) => Date.parse(date) / 1000).flatMap((date) => [date, date + 1]);
  return turns
    .filter((turn) => turn > now)
    .reduce((first, turn) => Math.min(first, turn), Number.POSITIVE_INFINITY);
}
