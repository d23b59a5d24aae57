/** An engine that computes as a recorded one did. */

import { loadModel } from "../app.ts";
import type { StreamState } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import {
  type AdaptersOptions,
  adaptersOptions,
  defaultsOf,
  type EngineOptions,
  engineOptions,
  type OptionTable,
} from "../config/mod.ts";
import type { TokenGenerator } from "../engine/mod.ts";
import { contentDigest, measureSeal } from "../model/mod.ts";
import { note } from "./terminal.ts";

/** What may be chosen: nothing of it changes a bit. */
export interface ReplayEngineOptions
  extends AdaptersOptions,
    Pick<EngineOptions, "device" | "threads" | "context" | "maxBatch" | "tensorParallelismDegree"> {}

export const replayEngineOptions: OptionTable<ReplayEngineOptions> = {
  adapters: {
    ...adaptersOptions.adapters,
    flagMeaning: "an adapter that answers were made with, under any name; may be given again",
  },
  device: engineOptions.device,
  threads: engineOptions.threads,
  tensorParallelismDegree: engineOptions.tensorParallelismDegree,
  context: engineOptions.context,
  maxBatch: engineOptions.maxBatch,
};

interface Recorded {
  readonly model: string;
  readonly statement: StreamState["statement"];
  readonly settings: ReplayEngineOptions;
}

/** Errors: E_ALTERED where the model is not the recorded one, E_PARAMETER for formats that there are not, those of loading. */
export async function withReplayEngine(
  { model, statement, settings }: Recorded,
  use: (generator: TokenGenerator) => Promise<void>,
): Promise<void> {
  await checkModel(model, statement.model);
  const { adapters, device, threads, context, maxBatch, tensorParallelismDegree } = settings;
  const usual = defaultsOf(engineOptions);
  const format = known(engineOptions.format.kind, statement.engine.format) as EngineOptions["format"];
  const kvFormat = known(
    engineOptions.kvFormat.kind,
    statement.engine.kv_format,
  ) as EngineOptions["kvFormat"];
  const chosen = { device, threads, context, maxBatch, tensorParallelismDegree, format, kvFormat };
  const { engine, info } = await loadModel(model, { ...usual, ...chosen }, { onNote: note, adapters });
  if (info.warning !== undefined) note(info.warning);
  try {
    const digests = info.adapters.map(({ digest }) => digest);
    await use({
      generate: (request) => {
        checkAdapter(request.adapter, digests);
        return engine.generate(request);
      },
    });
  } finally {
    await engine.close();
  }
}

function checkAdapter(wanted: string | undefined, digests: readonly string[]): void {
  if (wanted === undefined || digests.includes(wanted)) return;
  const made = `The answer was made with the adapter ${wanted}`;
  if (digests.length === 0) throw new ClawError("E_USAGE", `${made}; give it as --adapter NAME=FOLDER.`);
  throw new ClawError("E_ALTERED", `${made}, and those given are ${digests.join(", ")}.`);
}

function known(kind: (typeof engineOptions.format)["kind"], format: string): string {
  if (kind.type === "choice" && kind.choices.includes(format)) return format;
  throw new ClawError(
    "E_PARAMETER",
    `The recorded format ${JSON.stringify(format)} is not one of this release.`,
  );
}

async function checkModel(path: string, { root, source }: StreamState["statement"]["model"]): Promise<void> {
  const found = source === "seal" ? (await measureSeal(path)).root : await contentDigest(path);
  if (found === root) return;
  throw new ClawError(
    "E_ALTERED",
    `${path} is not the model that was recorded: ${found}, not ${root} (${source}).`,
  );
}
