/** Runs one measurement and puts its report together. */

import { basename } from "node:path";
import { ClawError } from "../base/mod.ts";
import { openModelFile, type PresetName } from "../model/mod.ts";
import { apart, attentionAlone } from "./companions.ts";
import { type DecodingTask, measureDecoding } from "./decoding.ts";
import { measureKernels } from "./kernels.ts";
import {
  BATCH_DEFAULT,
  CONTEXT_LONG,
  CONTEXT_SMALL,
  DECODE_STEPS,
  DECODE_STEPS_LONG,
  PROMPT_DEFAULT,
} from "./limits.ts";
import { measureLoad } from "./load.ts";
import { Peer } from "./peer.ts";
import { measurePrefill } from "./prefill.ts";
import { presetFile } from "./preset.ts";
import type { BenchOptions, BenchReport, Outcome } from "./report.ts";

/** Errors: E_USAGE for options the measurement does not take, E_CONTEXT, E_NATIVE, E_PEER, and those of loading. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  checkOptions(options);
  if (options.peer) Peer.requireInstalled();
  const path = options.model ?? writtenPreset(options, options.preset);
  const { description, close } = openModelFile(path);
  close();
  const outcome = await measure(options, path, description.context);
  const { peer, device, threads, peaks, unit, ours, roundSeconds, details } = outcome;
  const peerSpeed = peer === undefined ? null : peer.tokensPerSecond[peer.flashAttention];
  return {
    bench: options.bench,
    unit,
    ours,
    peer: peerSpeed,
    ratio: peerSpeed === null ? null : ours / peerSpeed,
    model: {
      name: description.name,
      preset: options.model === undefined ? options.preset : null,
      file: basename(path),
    },
    format: options.format,
    kvFormat: "f16",
    device,
    threads,
    rounds: options.rounds,
    ceilings: peaks,
    roundSeconds,
    peerDetails: peer ?? null,
    details,
  };
}

/** The options that only some measurements take. */
function checkOptions({ bench, batch, context, peer }: BenchOptions): void {
  const refuse = (flag: string): never => {
    throw new ClawError("E_USAGE", `claw bench ${bench} takes no --${flag}.`);
  };
  if (batch !== undefined && (bench === "prefill" || bench === "attention")) refuse("batch");
  if (bench === "load" && batch !== undefined) refuse("batch");
  if (bench !== "kernels" && bench !== "load") return;
  if (context !== undefined) refuse("context");
  // llama.cpp offers no products of single matrices in the layouts it computes with, and keeps no packed weights.
  if (peer) refuse("peer");
}

function measure(options: BenchOptions, path: string, modelContext: number): Promise<Outcome> {
  const { batch } = options;
  const positions = (usual: number): number => options.context ?? Math.min(usual, modelContext);
  const decoding = (sequences: number, usual: number, steps: number): DecodingTask => {
    const context = positions(usual);
    if (context <= modelContext && context > steps) return { path, sequences, context, steps };
    const bounds = `${steps + 1} to ${modelContext}`;
    throw new ClawError(
      "E_CONTEXT",
      `A context of ${context} was asked for; this measurement takes ${bounds}.`,
    );
  };
  switch (options.bench) {
    case "decode":
      return measureDecoding(options, decoding(batch ?? 1, CONTEXT_SMALL, DECODE_STEPS), undefined);
    case "batch":
      return measureDecoding(
        options,
        decoding(batch ?? BATCH_DEFAULT, CONTEXT_SMALL, DECODE_STEPS_LONG),
        apart,
      );
    case "attention":
      return measureDecoding(options, decoding(1, CONTEXT_LONG, DECODE_STEPS_LONG), attentionAlone);
    case "prefill":
      return measurePrefill(options, { path, tokens: positions(PROMPT_DEFAULT) });
    case "load":
      return measureLoad(options, path);
    case "kernels":
      return measureKernels(options, { path, thinPath: writtenPreset(options, "llama-thin") });
  }
}

function writtenPreset({ folder, format, onProgress }: BenchOptions, preset: PresetName): string {
  return presetFile(folder, { preset, format }, onProgress("Writing the model:"));
}
