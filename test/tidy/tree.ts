/** I/O: reads the tree. The files of the project: those that git tracks or would, else all but what is installed or built. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeSource, type Source } from "./source.ts";

export const root: string = fileURLToPath(new URL("../..", import.meta.url));

const gitBytesMax = 1 << 24;
const notOurs = /(?:^|\/)(?:node_modules|\.git|build[^/]*|coverage|dist|tmp)\//;
const isText =
  /\.(?:[cm]?[tj]s|json|md|cc|h|inc|sh|ya?ml|toml|txt|html|css)$|^claw$|^\.ci\/run$|(?:^|\/)\.[a-z]+$/;
/** Locks are made by npm, and texts and vectors that tests read may say anything. */
const isForeign = /package-lock\.json$|(?:^|\/)(?:golden|fixtures)\//;

export function listPaths(): string[] {
  try {
    const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    const said = execFileSync("git", args, {
      cwd: root,
      encoding: "utf8",
      maxBuffer: gitBytesMax,
      stdio: "pipe",
    });
    return said.split("\0").filter((path) => path !== "" && existsSync(join(root, path)));
  } catch {
    const all = readdirSync(root, { recursive: true, encoding: "utf8" });
    return all.filter((path) => !notOurs.test(`${path}/`) && statSync(join(root, path)).isFile());
  }
}

export function readSources(paths: readonly string[]): Source[] {
  return paths
    .filter((path) => isText.test(path) && !isForeign.test(path))
    .map((path) => makeSource(path, readFileSync(join(root, path), "utf8")));
}
