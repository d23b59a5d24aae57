import { posix } from "node:path";
import { type ErrorCode, errorTable } from "../../src/base/mod.ts";
import { lineOf, type Source } from "./source.ts";

/** The table of docs/reference/errors.md, as the code has it. */
export function errorRows(): string[] {
  const cells = (code: ErrorCode): string => {
    const { status, exit, remedy } = errorTable[code];
    return `| ${code} | ${status} | ${exit} | ${remedy} |`;
  };
  return (Object.keys(errorTable) as ErrorCode[]).map(cells);
}

/** Rows that the page lacks, and rows it has that the code lacks. */
export function errorPage({ text }: Source): string[] {
  const expected = errorRows();
  const written = text.split("\n").filter((line) => line.startsWith("| E_"));
  return [
    ...expected.filter((row) => !written.includes(row)).map((row) => `lacks this row: ${row}`),
    ...written
      .filter((row) => !expected.includes(row))
      .map((row) => `has a row that the code has not: ${row}`),
  ];
}

const link = /\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g;
const elsewhere = /^(?:[a-z][a-z+.-]*:|#)/i;

/** Links of a Markdown page to files that do not exist. `exists` is told paths relative to the root. */
export function brokenLinks({ path, text }: Source, exists: (path: string) => boolean): string[] {
  if (!path.endsWith(".md")) return [];
  const prose = text.replace(/^```[\s\S]*?^```|`[^`\n]*`/gm, (code) => code.replace(/[^\n]/g, " "));
  return [...prose.matchAll(link)].flatMap((match) => {
    const to = match[1] ?? "";
    if (elsewhere.test(to)) return [];
    const target = posix.join(posix.dirname(path), decodeURI(to.replace(/#.*$/, "")));
    return exists(target) ? [] : [`line ${lineOf(text, match.index)}: the link to ${to} leads nowhere.`];
  });
}

/** A committed file larger than this is generated or binary; what is needed belongs in the install. */
const fileBytesMax = 1 << 20;

export function generated(path: string, bytes: number): string[] {
  if (/\.(?:node|so|o|a|dylib)$/.test(path)) return ["is built, not written; ignore it in .gitignore."];
  if (path.startsWith("models/")) return [];
  if (/\.(?:gguf|safetensors)$/.test(path)) return ["is a model; models lie in models/."];
  return bytes > fileBytesMax ? [`has ${bytes} bytes; the limit is ${fileBytesMax}.`] : [];
}
