/** I/O: a server with a tiny random model, and clients for it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { type RunningServer, startServer } from "../../src/app.ts";
import { readConfigFile, type ServeOptions } from "../../src/config/mod.ts";
import { synthesize } from "../../src/model/mod.ts";

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [name: string]: unknown;
}

export interface Service {
  readonly server: RunningServer;
  readonly client: OpenAI;
  /** The lines of the log. */
  readonly log: LogLine[];
  /** Requests with the key and a content type; the body is sent as it is. */
  post(path: string, body: string): Promise<Response>;
  health(): Promise<{ status: string; running: number; waiting: number }>;
}

export const tinyModelName = "tiny";

/** A folder of its own, also for this process's state. */
export function makeHome(): string {
  const home = mkdtempSync(join(tmpdir(), "claw-server-"));
  process.env["XDG_STATE_HOME"] = join(home, "state");
  return home;
}

export function removeHome(home: string): void {
  rmSync(home, { recursive: true, force: true });
}

export function makeTinyModel(folder: string): string {
  const out = join(folder, `${tinyModelName}.gguf`);
  synthesize({ preset: "llama-tiny", type: "f16", outliers: false, seed: 7, out });
  return out;
}

export const serveDefaults: Partial<ServeOptions> = {
  port: 0,
  format: "f16",
  device: "reference",
  maxBatch: 4,
  packedCache: false,
};

/** A server with flags beside `serveDefaults`, and a configuration file if one is named. */
export async function startService(
  model: string,
  options: Partial<ServeOptions> = {},
  file?: string,
): Promise<Service> {
  const log: LogLine[] = [];
  const layers = {
    file: file === undefined ? {} : readConfigFile(file),
    flag: { ...serveDefaults, ...options },
  };
  const server = await startServer(
    model,
    { file, layers },
    {
      version: "0.0.0",
      onProgress: () => {},
      log: { write: (line) => log.push(JSON.parse(line) as LogLine) },
    },
  );
  await server.ready;
  const apiKey = server.apiKey?.key ?? "none";
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 });
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
  return {
    server,
    client,
    log,
    post: (path, body) => fetch(server.url + path, { method: "POST", headers, body }),
    health: async () =>
      (await (await fetch(`${server.url}/health`)).json()) as Awaited<ReturnType<Service["health"]>>,
  };
}

/** Waits until the engine is as wanted; undefined when it does not come to be within half a minute. */
export async function until<T>(
  probe: () => Promise<T>,
  wanted: (state: T) => boolean,
): Promise<T | undefined> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const state = await probe();
    if (wanted(state)) return state;
    if (Date.now() > deadline) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
