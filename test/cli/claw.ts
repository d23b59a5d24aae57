/** I/O: runs `./claw` as a user does. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { synthesize } from "../../src/model/mod.ts";

export const repository: string = fileURLToPath(new URL("../..", import.meta.url));

/** Compiled sources of one test file's starts. */
const cache: string = makeFolder();

/** A folder for a test file, gone when its tests are done. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "claw-cli-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function makeTinyModel(folder: string): string {
  const out = join(folder, "tiny.gguf");
  synthesize({ preset: "llama-tiny", type: "f16", outliers: false, seed: 7, out });
  return out;
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Options {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where it is started; by default where the tests are. */
  readonly cwd?: string;
}

export function start(args: readonly string[], { env, cwd }: Options = {}): ChildProcess {
  return spawn(join(repository, "claw"), args, {
    env: { ...process.env, XDG_CACHE_HOME: cache, ...env },
    ...(cwd !== undefined && { cwd }),
  });
}

export async function claw(args: readonly string[], options: Options = {}): Promise<Outcome> {
  const child = start(args, options);
  const outputs = Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  child.stdin?.end(options.input ?? "");
  const status = await exitOf(child);
  const [stdout, stderr] = await outputs;
  return { status, stdout, stderr };
}

export function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("close", resolve));
}

/** What a server that was started prints when it listens, and its URL. */
export async function bannerOf(
  child: ChildProcess,
): Promise<{ readonly banner: string; readonly url: string }> {
  let banner = "";
  for await (const part of child.stdout ?? []) {
    banner += part;
    if (banner.endsWith("\n\n") && banner.includes("curl ")) break;
  }
  return { banner, url: /http:\/\/[\d.]+:\d+/.exec(banner)?.[0] ?? "" };
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = "";
  for await (const part of stream ?? []) text += part;
  return text;
}
