/** Source text with what is not code blanked out, so that the checks never trip over a comment or a string. */

export interface Source {
  /** Relative to the repository root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** As long as `text`, line breaks kept; comments and the contents of strings and regular expressions are spaces. */
  readonly code: string;
}

/** A rule of style: what is wrong with one file, in sentences that end up after its path. */
export type Rule = (source: Source) => string[];

const isCpp = (path: string): boolean => /\.(cc|h|inc)$/.test(path);
const isScript = (path: string): boolean => /\.[cm]?[tj]s$/.test(path);

export function makeSource(path: string, text: string): Source {
  const code = isCpp(path) ? blankCpp(text) : isScript(path) ? blankScript(text) : text;
  return { path, text, code };
}

/** The 1-based line of an offset. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

const blank = (text: string): string => text.replace(/[^\n]/g, " ");
const hide = (quoted: string): string => quoted[0] + blank(quoted.slice(1, -1)) + quoted.at(-1);

const cppToken =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|\bR"([^(\s]*)\([\s\S]*?\)\1"|"(?:\\[\s\S]|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\[\s\S]|[^'\\\n])*'|^[ \t]*#(?:\\\n|[^\n])*/gm;

function blankCpp(text: string): string {
  return text.replace(cppToken, (token) => (/^["']/.test(token) ? hide(token) : blank(token)));
}

const scriptToken =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|`|[{}]|\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g;

/** A slash after one of these starts a regular expression; after anything else it divides. */
const beforeRegex = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|await|yield))\s*$/;
const regexLookBehind = 40;

/** Walks a script token by token; a template's literal parts are blanked, its `${}` parts are code again. */
function blankScript(text: string): string {
  let out = "";
  let position = 0;
  const braces: ("block" | "template")[] = [];
  const copyTo = (end: number): void => {
    out += text.slice(position, end);
    position = end;
  };
  const template = (): void => {
    const literal = /(?:\\[\s\S]|[^\\`$]|\$(?!\{))*(?:`|\$\{)?/y;
    literal.lastIndex = position;
    const found = literal.exec(text)?.[0] ?? "";
    if (found.endsWith("${")) braces.push("template");
    out += found.endsWith("${") ? `${blank(found.slice(0, -2))}\${` : blank(found);
    position += found.length;
  };
  while (position < text.length) {
    scriptToken.lastIndex = position;
    const match = scriptToken.exec(text);
    if (match === null) break;
    const token = match[0];
    copyTo(match.index);
    if (token === "{" || token === "}" || token === "`") {
      copyTo(position + 1);
      if (token === "{") braces.push("block");
      if (token === "`" || (token === "}" && braces.pop() === "template")) template();
    } else if (/^["']/.test(token)) {
      out += hide(token);
      position += token.length;
    } else if (/^\/[/*]/.test(token) || beforeRegex.test(out.slice(-regexLookBehind))) {
      out += blank(token);
      position += token.length;
    } else {
      copyTo(position + 1);
    }
  }
  copyTo(text.length);
  return out;
}
