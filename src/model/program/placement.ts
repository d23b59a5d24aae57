/**
 * Where a model's parts lie: stages one after the other, each with some layers (pipeline parallelism), and in each stage
 * shards side by side, each with some segments of every layer (tensor parallelism). A shard of a stage is a rank.
 */

import { ClawError } from "../../base/mod.ts";
import { attentionSegments, ffnSegments, type ModelDescription } from "../architecture/mod.ts";
import type { Shard } from "./weights.ts";

export interface Stage {
  /** Layers [first, end). */
  readonly layers: readonly [number, number];
  /** In any order: one may hold segments of attention before another's, and of the FFN behind them. */
  readonly shards: readonly Shard[];
}

/** Plain data. Ranks are numbered stage after stage, shard after shard. */
export interface Placement {
  readonly stages: readonly Stage[];
}

/** A rank's place: the index of its stage, and of its shard there. */
export interface RankPlace {
  readonly stage: number;
  readonly shard: number;
}

/** The places of all ranks, by rank. */
export function rankPlaces({ stages }: Placement): RankPlace[] {
  return stages.flatMap(({ shards }, stage) => shards.map((_, shard) => ({ stage, shard })));
}

/** Stages and shards in proportion to shares: how much each node can do, in any unit. */
export interface PlacementShares {
  /** Of the layers, one for each stage. */
  readonly stages: readonly number[];
  /** Of every layer, one for each shard of a stage. */
  readonly shards: readonly number[];
}

/** Every stage split alike. E_PLACEMENT when the model has fewer layers or segments than that. */
export function proportionalPlacement(
  model: ModelDescription,
  { stages, shards }: PlacementShares,
): Placement {
  if (!(stages.length >= 1 && stages.length <= model.layers)) {
    refuse(model, `into ${stages.length} stages: it has ${model.layers} layers.`);
  }
  const split = proportionalShards(model, shards);
  return { stages: proportionalRanges(model.layers, stages).map((layers) => ({ layers, shards: split })) };
}

/** `degree` shards of a model, as even as segments allow. E_PLACEMENT when it has fewer segments than that. */
export function evenShards(model: ModelDescription, degree: number): Shard[] {
  const most = Math.min(attentionSegments(model), ffnSegments(model), model.vocabulary);
  // Before as many shares are made as somebody may have asked for.
  if (!(degree >= 1 && degree <= most)) refuse(model, `${degree} ways: ${segmentsText(model)}.`);
  return proportionalShards(model, new Array<number>(degree).fill(1));
}

function proportionalShards(model: ModelDescription, shares: readonly number[]): Shard[] {
  const counts = shardCounts(model);
  const most = Math.min(...Object.values(counts));
  if (!(shares.length >= 1 && shares.length <= most)) {
    refuse(model, `${shares.length} ways: ${segmentsText(model)}.`);
  }
  const attention = proportionalRanges(counts.attention, shares);
  const ffn = proportionalRanges(counts.ffn, shares);
  const vocabulary = proportionalRanges(counts.vocabulary, shares);
  return attention.map((range, i) => ({
    attention: range,
    ffn: ffn[i] as Range,
    vocabulary: vocabulary[i] as Range,
  }));
}

type Range = readonly [number, number];

/** Cuts [0, count) into ranges of about these shares, none of them empty. */
function proportionalRanges(count: number, shares: readonly number[]): Range[] {
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (!shares.every((share) => share > 0) || !Number.isFinite(total)) {
    throw new ClawError("E_PLACEMENT", `Shares of ${shares.join(", ")} are not all positive numbers.`);
  }
  const ranges: Range[] = [];
  let first = 0;
  let sum = 0;
  for (const [i, share] of shares.entries()) {
    sum += share;
    const left = shares.length - 1 - i;
    const wanted = left === 0 ? count : Math.floor((count * sum) / total);
    const end = Math.min(count - left, Math.max(first + 1, wanted));
    ranges.push([first, end]);
    first = end;
  }
  return ranges;
}

/** What there is of each thing that shards share. */
function shardCounts(model: ModelDescription): Readonly<Record<keyof Shard, number>> {
  return {
    attention: attentionSegments(model),
    ffn: ffnSegments(model),
    vocabulary: model.vocabulary,
  };
}

/** Refuses a placement that does not hold every part of the model once, or has an empty rank. E_PLACEMENT. */
export function checkPlacement(model: ModelDescription, { stages }: Placement): void {
  const layers = stages.map((stage) => stage.layers);
  if (!covers(layers, model.layers)) {
    refuse(model, `into stages of layers ${rangesText(layers)}: it has ${model.layers} layers.`);
  }
  for (const [index, { shards }] of stages.entries()) {
    for (const [part, count] of Object.entries(shardCounts(model)) as [keyof Shard, number][]) {
      const ranges = shards.map((shard) => shard[part]).sort(([a], [b]) => a - b);
      if (covers(ranges, count)) continue;
      const split = `into ${part} ranges ${rangesText(ranges)} in stage ${index}`;
      refuse(model, `${split}: ${segmentsText(model)}.`);
    }
  }
}

/** Whether the ranges follow one another from 0 to `count`, and none is empty. */
function covers(ranges: readonly Range[], count: number): boolean {
  let at = 0;
  for (const [first, end] of ranges) {
    if (first !== at || !Number.isInteger(end) || end <= first) return false;
    at = end;
  }
  return at === count;
}

function rangesText(ranges: readonly Range[]): string {
  return ranges.length === 0 ? "(none)" : ranges.map(([first, end]) => `${first} to ${end}`).join(", ");
}

function segmentsText(model: ModelDescription): string {
  const { heads, kvHeads, vocabulary } = model;
  const attention = `${attentionSegments(model)} attention segments (${heads} heads, ${kvHeads} KV heads)`;
  return `it has ${attention}, ${ffnSegments(model)} FFN segments and ${vocabulary} tokens`;
}

function refuse(model: ModelDescription, why: string): never {
  throw new ClawError("E_PLACEMENT", `${model.name} cannot be split ${why}`);
}
