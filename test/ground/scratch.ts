/** I/O: temporary folders and commands for the tests of the launcher and the native build. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const repository: string = fileURLToPath(new URL("../..", import.meta.url));

/** A new folder that goes when the test ends, under its real path. */
export function makeFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "claw-ground-")));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes files below `folder`; the keys are their paths. */
export function writeFiles(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** The real path of a command, or undefined. */
export function findCommand(name: string): string | undefined {
  const said = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).stdout.trim();
  return said.startsWith("/") ? said : undefined;
}

/** A folder of links to the named commands, for a PATH that holds nothing else. */
export function linkCommands(folder: string, names: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) symlinkSync(findCommand(name) ?? name, join(folder, name));
  return folder;
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface CommandOptions {
  readonly cwd?: string;
  /** The folders of the command's PATH; by default this process's own. */
  readonly path?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command to its end. `CXX` is not passed on, so that the tests choose the compiler themselves. */
export function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Outcome {
  const { CXX: _, ...inherited } = process.env;
  const path = options.path?.join(delimiter) ?? process.env["PATH"] ?? "";
  const env = { ...inherited, PATH: path, ...options.env };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: options.cwd, env, encoding: "utf8" });
  return { status, stdout, stderr };
}
