/**
 * Outlier channels as large trained models have them: a few fixed channels of the normed residual stream, and of the
 * FFN's inner activations, far above the median. The columns that read such a channel are scaled down by the square
 * root of its factor: it matters more than others but does not drown them.
 */

import { exactExp, exactLog } from "../../base/mod.ts";
import { Generator } from "./generator.ts";
import type { ModelShape } from "./presets.ts";

export interface OutlierPlan {
  /** Channel of the residual stream -> gain of the attention and FFN norms there. */
  readonly residual: ReadonlyMap<number, number>;
  /** Channel inside the FFN -> factor of the row of `ffn_up` that makes it. */
  readonly feedForward: ReadonlyMap<number, number>;
}

interface OutlierOptions {
  readonly seed: number;
  /** One factor for all channels instead of drawn ones. */
  readonly factor?: number | undefined;
}

const RESIDUAL_CHANNELS = 6;
const RESIDUAL_FACTOR_MIN = 50;
const RESIDUAL_FACTOR_MAX = 500;
const FEED_FORWARD_CHANNELS = 4;
const FEED_FORWARD_FACTOR = 30;
const OUTLIER_STREAM = 1;

export const noOutliers: OutlierPlan = { residual: new Map(), feedForward: new Map() };

export function planOutliers(shape: ModelShape, options: OutlierOptions): OutlierPlan {
  const generator = new Generator(options.seed, OUTLIER_STREAM);
  const { factor } = options;
  const residual = drawChannels(generator, RESIDUAL_CHANNELS, shape.width);
  const feedForward = drawChannels(generator, FEED_FORWARD_CHANNELS, shape.feedForward);
  return {
    residual: new Map(residual.map((channel) => [channel, factor ?? drawFactor(generator)])),
    feedForward: new Map(feedForward.map((channel) => [channel, factor ?? FEED_FORWARD_FACTOR])),
  };
}

/** The scales of the columns that read the channels: 1/sqrt(factor). */
export function readingScales(channels: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  return new Map([...channels].map(([channel, factor]) => [channel, 1 / Math.sqrt(factor)]));
}

/**
 * The variance that `width` inputs of variance 1 bring to a unit-variance row, outliers included: a channel of factor
 * f, read through 1/sqrt(f), brings f.
 */
export function effectiveFanIn(width: number, channels: ReadonlyMap<number, number>): number {
  let sum = width - channels.size;
  for (const factor of channels.values()) sum += factor;
  return sum;
}

function drawChannels(generator: Generator, count: number, width: number): number[] {
  const channels = new Set<number>();
  while (channels.size < count) channels.add(generator.below(width));
  return [...channels];
}

/** Log-uniform between the two bounds. */
function drawFactor(generator: Generator): number {
  const range = exactLog(RESIDUAL_FACTOR_MAX / RESIDUAL_FACTOR_MIN);
  return RESIDUAL_FACTOR_MIN * exactExp(generator.uniform() * range);
}
