/**
 * A machine as a node of a cluster: how fast it works through weights, keys and values. Measured by the kernels that decode, on
 * two layers of a model's shape, and not by the machine's ceilings, which no kernel reaches.
 */

import { at } from "../base/mod.ts";
import { measurePeaks, type WeightFormat } from "../kernels/mod.ts";
import { openModelFile, type PresetName } from "../model/mod.ts";
import { timed } from "./clock.ts";
import { attentionAlone } from "./companions.ts";
import { measureOverhead } from "./kernels.ts";
import { KERNEL_BATCHES, NODE_CONTEXT, NODE_LAYERS } from "./limits.ts";
import { kvBytesPerPosition, LocalModel, openNative } from "./local.ts";
import { presetFile } from "./preset.ts";
import { measureProducts, type ProductTime } from "./products.ts";
import type { BenchOptions } from "./report.ts";
import { interleave, median, medians } from "./rounds.ts";

export interface NodeTask extends Pick<BenchOptions, "folder" | "threads" | "rounds" | "onProgress"> {
  readonly formats: readonly WeightFormat[];
  readonly preset: PresetName;
}

/** The measured part of a node's description for the planner (docs/reference/cluster.md). */
export interface NodeReport {
  readonly formats: Readonly<
    Partial<Record<WeightFormat, { readonly bytesPerSecond: number; readonly multiplyAddsPerSecond: number }>>
  >;
  readonly kvBytesPerSecond: number;
  readonly layerSeconds: number;
}

/** Errors: E_NATIVE, E_FILE, E_MEMORY. */
export async function measureNode(task: NodeTask): Promise<NodeReport> {
  const formats: Partial<Record<WeightFormat, { bytesPerSecond: number; multiplyAddsPerSecond: number }>> =
    {};
  for (const format of task.formats) formats[format] = await measureFormat(optionsFor(task, format));
  const options = optionsFor(task, at(task.formats, 0));
  return {
    formats,
    kvBytesPerSecond: await measureKv(options),
    layerSeconds: await measureLayer(options),
  };
}

function optionsFor(
  { preset, folder, threads, rounds, onProgress }: NodeTask,
  format: WeightFormat,
): BenchOptions {
  const rest = { model: undefined, batch: undefined, context: undefined, peer: false } as const;
  return { bench: "kernels", preset, folder, threads, rounds, onProgress, format, ...rest };
}

function modelFile({ folder, preset, format, onProgress }: BenchOptions): string {
  return presetFile(folder, { preset, format, layers: NODE_LAYERS }, onProgress("Writing the model:"));
}

async function measureFormat(
  options: BenchOptions,
): Promise<{ readonly bytesPerSecond: number; readonly multiplyAddsPerSecond: number }> {
  const file = openModelFile(modelFile(options));
  const [one, many] = [at(KERNEL_BATCHES, 0), at(KERNEL_BATCHES, KERNEL_BATCHES.length - 1)];
  const probe = await openNative(options.threads);
  const peaks = measurePeaks(probe.threads);
  probe.close();
  const products = await measureProducts(options, file, { batches: [one, many], peaks });
  file.close();
  const rate = (batch: number, amount: (product: ProductTime) => number): number => {
    const measured = products.filter((product) => product.batch === batch);
    const total = (value: (product: ProductTime) => number): number =>
      measured.reduce((sum, product) => sum + product.count * value(product), 0);
    return total(amount) / total(({ seconds }) => seconds);
  };
  return {
    bytesPerSecond: rate(one, ({ bandwidth }) => bandwidth.amount),
    multiplyAddsPerSecond: rate(many, ({ rows, columns, batch }) => batch * rows * columns),
  };
}

/** Keys and values of all layers at a context, by attention alone. */
async function measureKv(options: BenchOptions): Promise<number> {
  const { format, threads, rounds, onProgress } = options;
  const path = modelFile(options);
  const shape = openModelFile(path);
  shape.close();
  const context = Math.min(NODE_CONTEXT, shape.description.context);
  const size = { sequences: 1, context, rows: 1 };
  const loading = onProgress("Loading the model:");
  const local = await LocalModel.open({ path, format, threads, ...size, onProgress: loading });
  await local.fill(context);
  const attend = attentionAlone.prepare(local, { path, sequences: 1, context, steps: 1 });
  const { ours } = await interleave(rounds, async () => ({ attend: await timed(attend) }), undefined);
  local.close();
  return (context * kvBytesPerPosition(local.file)) / median(ours.attend);
}

/** What is left of a layer where its kernels have next to nothing to do. */
async function measureLayer(options: BenchOptions): Promise<number> {
  const { folder, format, onProgress } = options;
  const path = presetFile(folder, { preset: "llama-thin", format }, onProgress("Writing the model:"));
  const { description, close } = openModelFile(path);
  close();
  return medians(await measureOverhead(options, path)).step / description.layers;
}
