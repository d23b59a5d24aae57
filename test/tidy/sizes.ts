import { lineOf, type Rule, type Source } from "./source.ts";

const fileLinesMax = 500;
const functionLinesMax = 70;
const parametersMax = 3;

const hasSizeLimit = /\.(ts|mts|mjs|js|cc|h|sh)$|^claw$|^\.ci\/run$/;
const hasFunctions = /\.(ts|mjs|cc|h)$/;

export const fileSize: Rule = ({ path, text }) => {
  const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
  return hasSizeLimit.test(path) && lines > fileLinesMax
    ? [`has ${lines} lines; the limit is ${fileLinesMax}.`]
    : [];
};

export const functionSize: Rule = (source) => {
  if (!hasFunctions.test(source.path)) return [];
  const matched = matchBrackets(source.code);
  if (typeof matched === "string") return [matched];
  return findFunctions(source, matched).flatMap(({ name, first, last }) => {
    const lines = last - first + 1;
    return lines > functionLinesMax
      ? [`line ${first}: ${name} has ${lines} lines; the limit is ${functionLinesMax}.`]
      : [];
  });
};

/** C++ is exempt: kernels take their operands one by one. */
export const parameterCount: Rule = (source) => {
  if (!/\.(ts|mjs)$/.test(source.path)) return [];
  const matched = matchBrackets(source.code);
  if (typeof matched === "string") return [];
  return findFunctions(source, matched).flatMap(({ name, first, parameters }) =>
    parameters > parametersMax
      ? [
          `line ${first}: ${name} has ${parameters} parameters; the limit is ${parametersMax}, then an options object.`,
        ]
      : [],
  );
};

interface Found {
  readonly name: string;
  readonly first: number;
  readonly last: number;
  readonly parameters: number;
}

interface Brackets {
  /** The offset of the bracket that closes the one at an offset. */
  readonly close: ReadonlyMap<number, number>;
  /** The offset of the bracket that encloses the one at an offset. */
  readonly parent: ReadonlyMap<number, number>;
}

/** Pairs every (, [ and {; a sentence if they do not pair, because then the sizes cannot be known. */
function matchBrackets(code: string): Brackets | string {
  const close = new Map<number, number>();
  const parent = new Map<number, number>();
  const open: number[] = [];
  for (const { 0: bracket, index } of code.matchAll(/[()[\]{}]/g)) {
    if ("([{".includes(bracket)) {
      const enclosing = open.at(-1);
      if (enclosing !== undefined) parent.set(index, enclosing);
      open.push(index);
      continue;
    }
    const opener = open.pop();
    if (opener === undefined || code[opener] !== { ")": "(", "]": "[", "}": "{" }[bracket]) {
      return `line ${lineOf(code, index)}: the brackets do not pair, so function sizes cannot be checked.`;
    }
    close.set(opener, index);
  }
  return open.length === 0
    ? { close, parent }
    : "the brackets do not pair, so function sizes cannot be checked.";
}

const notAFunction = /\b(?:if|for|while|switch|catch|with|return|await|sizeof|decltype|alignas|requires)$/;

/** Every function with a body: a parameter list, perhaps a return type, then a block. */
function findFunctions(source: Source, brackets: Brackets): Found[] {
  const { code, path } = source;
  const found: Found[] = [];
  for (const [open, close] of brackets.close) {
    if (code[open] !== "(") continue;
    const before = code.slice(Math.max(0, open - 80), open).trimEnd();
    if (notAFunction.test(before)) continue;
    const body = /\.(cc|h)$/.test(path) ? cppBody(code, close) : scriptBody(code, close, brackets);
    const end = body === undefined ? undefined : brackets.close.get(body);
    if (end === undefined || isSuite(source, open, brackets)) continue;
    const name = /([\w$~]+)(?:<[^<>]*>)?$/.exec(before)?.[1] ?? "a function";
    const parameters = countParameters(code.slice(open + 1, close));
    found.push({ name, first: lineOf(code, open), last: lineOf(code, end), parameters });
  }
  return found;
}

/** A test suite's callback is a container of functions, not a function to hold in the head. */
function isSuite({ path, code }: Source, open: number, { parent }: Brackets): boolean {
  const call = parent.get(open);
  if (call === undefined || !path.endsWith(".test.ts")) return false;
  return /^\s*describe\b/.test(code.slice(code.lastIndexOf("\n", call) + 1, call));
}

function cppBody(code: string, close: number): number | undefined {
  const rest =
    /^\)(?:\s*(?:const|noexcept(?:\([^()]*\))?|override|final|mutable|&&?|->\s*[\w:<>*&,\s]+?))*\s*\{/;
  const match = rest.exec(code.slice(close, close + 400));
  return match === null ? undefined : close + match[0].length - 1;
}

/** The offset of the block (or of the parenthesized expression) that is the body, if there is one. */
function scriptBody(code: string, close: number, brackets: Brackets): number | undefined {
  let i = skipSpace(code, close + 1);
  if (code[i] === ":") i = skipType(code, i + 1, brackets);
  if (code.startsWith("=>", i)) i = skipSpace(code, i + 2);
  else if (code[i] !== "{") return undefined;
  return code[i] === "{" || code[i] === "(" ? i : undefined;
}

function skipSpace(code: string, from: number): number {
  let i = from;
  while (i < code.length && /\s/.test(code.charAt(i))) i++;
  return i;
}

/** A brace after one of these opens an object type, so it is not the body yet. */
const beforeObjectType = /(?:[:|&<,(=]|=>)\s*$/;

/** From within a return type to what follows it: `=>`, the body's brace, or the end of the declaration. */
function skipType(code: string, from: number, brackets: Brackets): number {
  let angles = 0;
  for (let i = from; i < code.length; i++) {
    const char = code.charAt(i);
    const before = code.slice(from - 1, i);
    if (code.startsWith("=>", i)) {
      if (!before.trimEnd().endsWith(")")) return i;
      i++; // the arrow of a function type
    } else if (char === "<") angles++;
    else if (char === ">") angles--;
    else if (/[;)\]}]/.test(char) || (char === "," && angles === 0)) return i;
    else if (char === "{" && !beforeObjectType.test(before)) return i;
    else i = brackets.close.get(i) ?? i;
  }
  return code.length;
}

function countParameters(list: string): number {
  let depth = 0;
  let parts = 0;
  let part = "";
  for (const char of `${list.replaceAll("=>", "  ")},`) {
    if ("([{<".includes(char)) depth++;
    else if (")]}>".includes(char)) depth--;
    if (char === "," && depth === 0) {
      if (part.trim() !== "" && !/^\s*this\b/.test(part)) parts++;
      part = "";
    } else part += char;
  }
  return parts;
}
