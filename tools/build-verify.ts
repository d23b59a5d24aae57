/**
 * I/O: builds what receipts are verified with outside of this project: the module `openclaw/verify` in one file that imports
 * nothing, its types, and a page that does the same in a browser. All of it is made from `src/verify/` whenever it is wanted
 * and never committed.
 *
 *   node tools/build-verify.ts                      write dist/verify/; `npm pack` does so first
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = join(root, "src/verify");

/** What Node 20 and browsers of its time run as it is. */
const TARGET = "es2022";

/** The module's text: an ECMAScript module without imports. */
export function verifierModule(): Promise<string> {
  return bundled("mod.ts", "es");
}

/** The page's text: HTML with style and script inside, which its policy names by their hashes and lets nothing else load. */
export async function verifierPage(): Promise<string> {
  const [page, style] = [pageSource("page.html"), pageSource("page.css")];
  const script = await bundled("page/main.ts", "iife");
  return page
    .replace('content="policy"', `content="${policyFor(style, script)}"`)
    .replace("/* style */", () => style)
    .replace("/* script */", () => script);
}

function pageSource(name: string): string {
  return readFileSync(join(sources, "page", name), "utf8");
}

function policyFor(style: string, script: string): string {
  return [
    "default-src 'none'",
    `script-src ${sourceOf(script)}`,
    `style-src ${sourceOf(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/** A source of Content Security Policy: the one text with this hash. */
function sourceOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

async function bundled(entry: string, format: "es" | "iife"): Promise<string> {
  const bundle = await rolldown({
    input: join(sources, entry),
    cwd: root,
    platform: "browser",
    transform: { target: TARGET },
    logLevel: "silent",
  });
  try {
    const { output } = await bundle.generate({ format });
    const [{ code, imports, dynamicImports }, ...others] = output;
    const foreign = [...imports, ...dynamicImports, ...others.map(({ fileName }) => fileName)];
    if (foreign.length > 0) throw new Error(`${entry} has to stand alone, but needs ${foreign.join(", ")}.`);
    if (format === "iife" && /<\/script|<!--/i.test(code))
      throw new Error(`${entry} would end its own script element.`);
    return code;
  } finally {
    await bundle.close();
  }
}

/** Writes the module, its types and the page into a folder, which holds nothing else afterwards. */
async function build(folder: string): Promise<void> {
  const [module, page] = await Promise.all([verifierModule(), verifierPage()]);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "mod.js"), module);
  writeFileSync(join(folder, "receipt.html"), page);
  const compiler = fileURLToPath(new URL("bin/tsc", import.meta.resolve("typescript/package.json")));
  const types = join(folder, "types");
  const args = ["--project", sources, "--noEmit", "false", "--emitDeclarationOnly", "--outDir", types];
  execFileSync(process.execPath, [compiler, ...args], { stdio: "inherit" });
  rmSync(join(types, "verify/page"), { recursive: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build(join(root, "dist/verify"));
