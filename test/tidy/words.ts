import { importsOf } from "./imports.ts";
import { lineOf, type Rule, type Source } from "./source.ts";

interface Ban {
  readonly pattern: RegExp;
  readonly why: string;
}

/** Joined here, so that this file holds none of them itself. */
const word = (...parts: string[]): string => parts.join("");

const unfinished = [word("TO", "DO"), word("FIX", "ME"), word("X", "XX"), word("HA", "CK")];
const authorship = [
  word("co-authored", "-by"),
  word("as an", " ai"),
  word("ai", "-generated"),
  word("generated", " by ai"),
  word("generated", " with ai"),
  word("ai", " assistant"),
  word("cla", "ude"),
  word("anthro", "pic"),
  word("co", "pilot"),
  word("chat", "gpt"),
];
const machinePaths = [word("/wo", "rk/"), word("/ro", "ot/"), word("/ho", "me/")];
const registries = [
  word("registry.npm", "js.org"),
  word("registry.yarn", "pkg.com"),
  word("deb.deb", "ian.org"),
  word("security.deb", "ian.org"),
  word("archive.ubun", "tu.com"),
  word("pypi", ".org"),
  word("files.python", "hosted.org"),
  word("crates", ".io"),
  word("proxy.go", "lang.org"),
];

const anyOf = (words: readonly string[]): string =>
  words.map((entry) => entry.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");

const bannedText: readonly Ban[] = [
  { pattern: new RegExp(`\\b(?:${anyOf(unfinished)})\\b`, "g"), why: "finish it or leave it out." },
  { pattern: new RegExp(`\\b(?:${anyOf(authorship)})\\b`, "gi"), why: "who typed it does not belong here." },
  { pattern: new RegExp(`(?<![\\w.~-])(?:${anyOf(machinePaths)})`, "g"), why: "a path of one machine." },
  { pattern: new RegExp(`\\b(?:${anyOf(registries)})\\b`, "gi"), why: "a package registry's host." },
];

/** Words that no file of the project may hold, comments and documents included. */
export const bannedWords: Rule = ({ text }) => complaints(text, text, bannedText);

const impure: readonly Ban[] = [
  { pattern: /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\.now\b/g, why: "take a clock as a parameter." },
  {
    pattern: /\bMath\.random\b|\b(?:randomBytes|randomUUID|randomInt|getRandomValues)\b/g,
    why: "take a random source as a parameter.",
  },
  {
    pattern: /(?<![.\w])set(?:Timeout|Interval|Immediate)\b/g,
    why: "timers belong in a file that declares I/O.",
  },
  { pattern: /\bprocess\.env\b/g, why: "read the environment in a file that declares I/O." },
  { pattern: /(?<![.\w])console\./g, why: "print in a file that declares I/O." },
  { pattern: /(?<![.\w])fetch\(/g, why: "use the network in a file that declares I/O." },
];

const ioModules =
  /^(?:node:)?(?:fs|net|http|http2|https|tls|dgram|dns|child_process|os|worker_threads|cluster|readline|timers|process)(?:\/|$)/;

/** Whether the file's first comment is a doc comment that contains the word I/O. */
function declaresIo(text: string): boolean {
  return /^(?:#![^\n]*\n)?\/\*\*(?:(?!\*\/)[\s\S])*\bI\/O\b/.test(text);
}

/** Clocks, chance, timers, the environment and the machine are used only by files of `src/` that declare I/O. */
export const impurity: Rule = (source) => {
  if (!isProduct(source) || declaresIo(source.text)) return [];
  const imports = importsOf(source).filter(
    ({ specifier, typeOnly }) => !typeOnly && ioModules.test(specifier),
  );
  return [
    ...complaints(source.code, source.text, impure),
    ...imports.map(
      ({ line, specifier }) => `line ${line}: imports ${specifier}; declare I/O or be handed it.`,
    ),
  ];
};

const isProduct = ({ path }: Source): boolean => path.startsWith("src/") && !path.endsWith(".test.ts");

const exactRooms = /^src\/(?:kernels|engine|tensor|model)\//;

/** IEEE 754 and ECMAScript leave these to the implementation, so their last bits differ between machines. */
const inexact: readonly Ban[] = [
  {
    pattern:
      /\bMath\.(?:a?(?:sin|cos|tan)h?|atan2|cbrt|exp|expm1|hypot|log|log10|log1p|log2|pow|sumPrecise)\b|\bMath\b(?!\s*\.)/g,
    why: "its bits are not defined; use the project's own function.",
  },
  {
    pattern: /(?<!(?<![\w.])2\s*)\*\*|\*\*(?!\s*-?\d+(?![\w.]))/g,
    why: "its bits are not defined, but for 2 ** a whole number written out; multiply, or use the project's own function.",
  },
];

/** In rooms that promise bits, only operations whose every bit the standard defines. */
export const inexactness: Rule = (source) =>
  exactRooms.test(source.path) && isProduct(source) ? complaints(source.code, source.text, inexact) : [];

const constructs: readonly Ban[] = [
  { pattern: /\bexport\s+default\b/g, why: "exports have names." },
  { pattern: /\benum\s+\w+\s*\{/g, why: "use a union of string literals." },
  { pattern: /:\s*any\b|\bas\s+any\b|<any>/g, why: "say the type, or unknown." },
];

/** The tool that reads vitest.config.ts asks for a default export. */
const defaultExportRequired = new Set(["vitest.config.ts"]);

export const bannedConstructs: Rule = (source) =>
  /\.[cm]?ts$/.test(source.path) && !defaultExportRequired.has(source.path)
    ? complaints(source.code, source.text, constructs)
    : [];

function complaints(searched: string, text: string, bans: readonly Ban[]): string[] {
  return bans.flatMap(({ pattern, why }) =>
    [...searched.matchAll(pattern)].map(
      (match) =>
        `line ${lineOf(text, match.index)}: ${text.slice(match.index, match.index + match[0].length)}: ${why}`,
    ),
  );
}
