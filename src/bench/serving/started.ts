/** I/O: a server for the length of a measurement. */

import { availableParallelism } from "node:os";
import { KV_PAGE_TOKENS } from "../../kernels/mod.ts";
import { openModelFile } from "../../model/mod.ts";
import { kvBytesPerPosition } from "../local.ts";
import { presetFile } from "../preset.ts";
import type { ServingOptions } from "./report.ts";
import { ServerProcess } from "./server.ts";

/** The file to serve, made where it is missing. Errors: E_FILE. */
export function measuredModel({ model, folder, preset, format, onProgress }: ServingOptions): string {
  return model ?? presetFile(folder, { preset, format }, onProgress("Writing the model:"));
}

interface Size {
  readonly path: string;
  /** Positions of a sequence, and of all together. */
  readonly context: number;
  readonly kvPositions: number;
  /** Where the server records its answers; undefined: nowhere. */
  readonly ledger?: string;
}

/** Starts a server with pages for what is to come, and stops it when `work` is done. Errors: E_SERVER. */
export async function withServer<T>(
  { format, threads, batch }: ServingOptions,
  { path, context, kvPositions, ledger }: Size,
  work: (server: ServerProcess, threads: number) => Promise<T>,
): Promise<T> {
  const file = openModelFile(path);
  // A page of room for the last positions of every sequence; twice the bytes beside f16 weights, whose cache is f32.
  const positions = kvPositions + batch * KV_PAGE_TOKENS;
  const kvBytes = positions * kvBytesPerPosition(file) * (format === "f16" ? 2 : 1);
  file.close();
  const used = threads ?? availableParallelism();
  const flags = {
    model: path,
    format,
    threads: used,
    context,
    "max-batch": batch,
    "kv-cache-bytes": kvBytes,
    ...(ledger !== undefined && { ledger }),
  };
  const server = await ServerProcess.start(
    Object.entries(flags).flatMap(([name, value]) => [`--${name}`, `${value}`]),
  );
  try {
    return await work(server, used);
  } finally {
    await server.stop();
  }
}
