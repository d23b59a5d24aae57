import { tokenType, type Vocabulary } from "./vocabulary.ts";

/** A stretch of text, and whether control tokens spelled in it count as such. */
export interface TextPiece {
  readonly text: string;
  readonly special: boolean;
}

/** Raw text, or the id of a special token. */
type Fragment = string | number;

interface SpecialToken {
  readonly id: number;
  readonly spelling: string;
}

export interface SpecialTokens {
  /** The user-defined tokens, found in any text. Longest first. */
  readonly userDefined: readonly SpecialToken[];
  /** These and the control and unknown tokens, found only where asked for. Longest first. */
  readonly all: readonly SpecialToken[];
}

export function findSpecialTokens({ spellings, types }: Vocabulary): SpecialTokens {
  const pick = (wanted: readonly number[]): SpecialToken[] =>
    spellings
      .map((spelling, id) => ({ id, spelling }))
      .filter(({ id, spelling }) => spelling !== "" && wanted.includes(types[id]!))
      .sort((a, b) => b.spelling.length - a.spelling.length || a.id - b.id);
  const { userDefined, control, unknown } = tokenType;
  return { userDefined: pick([userDefined]), all: pick([userDefined, control, unknown]) };
}

/**
 * Cuts special tokens out of the pieces, the longest spelling first; raw text that meets at a border joins
 * again.
 */
export function cutSpecialTokens(pieces: readonly TextPiece[], tokens: SpecialTokens): readonly Fragment[] {
  const joined: Fragment[] = [];
  for (const { text, special } of pieces) {
    for (const fragment of cutPiece(text, special ? tokens.all : tokens.userDefined)) {
      const last = joined.at(-1);
      if (typeof fragment === "string" && typeof last === "string")
        joined[joined.length - 1] = last + fragment;
      else joined.push(fragment);
    }
  }
  return joined;
}

function cutPiece(text: string, tokens: readonly SpecialToken[]): readonly Fragment[] {
  let fragments: Fragment[] = text === "" ? [] : [text];
  for (const token of tokens) {
    if (!text.includes(token.spelling)) continue;
    fragments = fragments.flatMap((part) => (typeof part === "string" ? cutFragment(part, token) : [part]));
  }
  return fragments;
}

function cutFragment(text: string, { id, spelling }: SpecialToken): Fragment[] {
  const fragments: Fragment[] = [];
  text.split(spelling).forEach((part, index) => {
    if (index > 0) fragments.push(id);
    if (part !== "") fragments.push(part);
  });
  return fragments;
}
