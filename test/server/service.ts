/** I/O: a server with a tiny random model, and clients for it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { type RunningServer, startServer } from "../../src/app.ts";
import type { ClawError } from "../../src/base/mod.ts";
import type { ServeOptions } from "../../src/config/mod.ts";
import { synthesize } from "../../src/model/mod.ts";

export interface Service {
  readonly server: RunningServer;
  readonly client: OpenAI;
  readonly failures: ClawError[];
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

export const serveDefaults: Omit<ServeOptions, "model"> = {
  host: "127.0.0.1",
  port: 0,
  noAuth: false,
  verbose: false,
  format: "f16",
  kvFormat: undefined,
  device: "reference",
  threads: undefined,
  tensorParallelismDegree: 1,
  context: undefined,
  maxBatch: 4,
  kvCacheBytes: undefined,
};

export async function startService(model: string, options: Partial<ServeOptions> = {}): Promise<Service> {
  const failures: ClawError[] = [];
  const server = await startServer(
    { ...serveDefaults, ...options, model },
    {
      version: "0.0.0",
      onProgress: () => {},
      onFailure: (error) => failures.push(error),
      log: undefined,
    },
  );
  await server.ready;
  const apiKey = server.apiKey?.key ?? "none";
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 });
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
  return {
    server,
    client,
    failures,
    post: (path, body) => fetch(server.url + path, { method: "POST", headers, body }),
    health: async () =>
      (await (await fetch(`${server.url}/health`)).json()) as Awaited<ReturnType<Service["health"]>>,
  };
}

/** Waits until the engine is as wanted; undefined when it does not come to be within a few seconds. */
export async function until<T>(
  probe: () => Promise<T>,
  wanted: (state: T) => boolean,
): Promise<T | undefined> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const state = await probe();
    if (wanted(state)) return state;
    if (Date.now() > deadline) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
