/** Kernels: every matrix shape of a model against the ceilings, and what a step costs beside its kernels. */

import { at } from "../base/mod.ts";
import { measurePeaks } from "../kernels/mod.ts";
import { openModelFile } from "../model/mod.ts";
import { timed } from "./clock.ts";
import { KERNEL_BATCHES, OVERHEAD_STEPS } from "./limits.ts";
import { LocalModel, openNative } from "./local.ts";
import { measureProducts, type ProductTime } from "./products.ts";
import type { BenchOptions, Outcome } from "./report.ts";
import { interleave, medians, type Times } from "./rounds.ts";

export interface KernelsTask {
  readonly path: string;
  /** A model of 32 layers with next to no work in them. */
  readonly thinPath: string;
}

export async function measureKernels(options: BenchOptions, task: KernelsTask): Promise<Outcome> {
  const probe = await openNative(options.threads);
  const { name, threads } = probe;
  probe.close();
  const peaks = measurePeaks(threads);
  const batches = options.batch === undefined ? KERNEL_BATCHES : [options.batch];
  const file = openModelFile(task.path);
  const products = await measureProducts(options, file, { batches, peaks });
  file.close();
  const overhead = await measureOverhead(options, task.thinPath);
  const batch = at(batches, 0);
  return {
    device: name,
    threads,
    peaks,
    unit: `tokens/s in matrices alone, at batch ${batch}`,
    ours: batch / matrixSeconds(products, batch),
    peer: undefined,
    roundSeconds: overhead,
    details: {
      batches,
      stepOverheadMicroseconds: medians(overhead).step * 1e6,
      products,
    },
  };
}

/** Seconds of all matrices of the model, one after the other. */
function matrixSeconds(products: readonly ProductTime[], batch: number): number {
  return products
    .filter((product) => product.batch === batch)
    .reduce((sum, { seconds, count }) => sum + seconds * count, 0);
}

/** Seconds of a step in which kernels have next to nothing to do. */
export async function measureOverhead(options: BenchOptions, path: string): Promise<Times<"step">> {
  const { format, threads, rounds } = options;
  const size = { sequences: 1, context: 2, rows: 1 };
  const local = await LocalModel.open({ path, format, threads, ...size, onProgress: () => {} });
  const steps = async (): Promise<void> => {
    for (let step = 0; step < OVERHEAD_STEPS; step++) await local.decode({ first: 0, count: 1, position: 0 });
  };
  const { ours } = await interleave(
    rounds,
    async () => ({ step: (await timed(steps)) / OVERHEAD_STEPS }),
    undefined,
  );
  local.close();
  return ours;
}
