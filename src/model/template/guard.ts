import type { TextPiece } from "../tokenizer/mod.ts";
import { templateError } from "./messages.ts";

/**
 * Keeps messages and tools from forging control tokens. A template needs control tokens parsed in what it
 * writes, so every place in their text where one could begin gets a mark before it: where a spelling stands,
 * and where a text ends in the beginning of one. After rendering, the character behind a mark is ordinary
 * text. The mark is a character that occurs nowhere else, and texts that spell no control token, nearly
 * all, stay as they are, so templates may inspect and trim them.
 */
export interface Guard {
  /** JSON-like data with every string in it marked, keys too. */
  protect(data: unknown): unknown;
  /** The rendered text cut at the marks, which are removed. */
  cut(rendered: string): readonly TextPiece[];
}

/** Unicode sets these 32 characters aside for a process's own use; no text to be exchanged may hold them. */
const markCandidates: readonly string[] = Array.from({ length: 32 }, (_, i) =>
  String.fromCharCode(0xfdd0 + i),
);

/**
 * A guard for rendering what is in `inputs`, template and data. Throws E_TEMPLATE when they use every
 * candidate.
 */
export function createGuard(controlSpellings: readonly string[], inputs: unknown): Guard {
  // JSON leaves the candidates unescaped, so one search covers every string.
  const everything = JSON.stringify(inputs);
  const mark = markCandidates.find((candidate) => !everything.includes(candidate));
  if (mark === undefined) throw templateError("Rendering a chat: the messages hold all of U+FDD0 to U+FDEF.");
  const findStarts = createFinder(controlSpellings);
  const markText = (text: string): string => {
    const bounds = [0, ...findStarts(text), text.length];
    return bounds
      .slice(1)
      .map((end, i) => text.slice(bounds[i], end))
      .join(mark);
  };
  return {
    protect: (data) => mapStrings(data, markText),
    cut: (rendered) => cutAtMarks(rendered.split(mark)),
  };
}

function mapStrings(data: unknown, change: (text: string) => string): unknown {
  if (typeof data === "string") return change(data);
  if (Array.isArray(data)) return data.map((item) => mapStrings(item, change));
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [change(key), mapStrings(value, change)]),
  );
}

/**
 * Finds where in a text a control spelling stands, or begins and is cut off by the end (white space there
 * aside).
 */
function createFinder(spellings: readonly string[]): (text: string) => number[] {
  const known = new Set(spellings);
  const initials = new Set(spellings.map((spelling) => spelling.charAt(0)));
  const lengths = [...new Set(spellings.map((spelling) => spelling.length))];
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  return (text) => {
    const end = text.trimEnd().length;
    const isStart = (at: number): boolean =>
      lengths.some((length) => known.has(text.slice(at, at + length))) ||
      (end - at < longest && spellings.some((spelling) => spelling.startsWith(text.slice(at, end))));
    const starts: number[] = [];
    for (let at = 0; at < text.length; at++)
      if (initials.has(text.charAt(at)) && isStart(at)) starts.push(at);
    return starts;
  };
}

function cutAtMarks([head = "", ...marked]: readonly string[]): readonly TextPiece[] {
  const pieces: TextPiece[] = [{ text: head, special: true }];
  for (const part of marked) {
    const length = (part.codePointAt(0) ?? 0) > 0xffff ? 2 : 1;
    pieces.push({ text: part.slice(0, length), special: false }, { text: part.slice(length), special: true });
  }
  return pieces.filter(({ text }) => text !== "");
}
