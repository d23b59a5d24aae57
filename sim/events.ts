/** Events as clients read them. */

import { parseEventId } from "../src/server/mod.ts";

export interface ReadEvent {
  readonly id: string;
  readonly stream: string;
  /** Events of each answer up to this one. */
  readonly counts: readonly number[];
  readonly data: string;
}

export function readEvent(text: string): ReadEvent {
  const [, id = "", data = ""] = /^id: (.*)\ndata: (.*)\n\n$/.exec(text) ?? [];
  return { ...parseEventId(id), id, data };
}

/** Which answer had its next event; undefined: none, or it was another than the next. */
export function nextChoice(before: readonly number[], after: readonly number[]): number | undefined {
  const grown = after.flatMap((count, choice) => (count === before[choice] ? [] : [choice]));
  const [choice = 0] = grown;
  return grown.length === 1 && after[choice] === (before[choice] ?? 0) + 1 ? choice : undefined;
}
