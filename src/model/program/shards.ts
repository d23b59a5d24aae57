/** Splits of a model between tensor-parallel shards: whole segments, as even as they come. */

import { ClawError } from "../../base/mod.ts";
import { attentionSegments, ffnSegments, type ModelDescription } from "../architecture/mod.ts";
import type { Shard } from "./weights.ts";

/** `degree` shards of a model. E_MODEL_SHAPE when it has fewer segments than that. */
export function evenShards(model: ModelDescription, degree: number): Shard[] {
  const attention = attentionSegments(model);
  const ffn = ffnSegments(model);
  if (degree > Math.min(attention, ffn)) {
    throw new ClawError(
      "E_MODEL_SHAPE",
      `${model.name} cannot be split ${degree} ways: it has ${attention} attention and ${ffn} FFN segments.`,
    );
  }
  const part = (segments: number, rank: number): readonly [number, number] => [
    Math.floor((segments * rank) / degree),
    Math.floor((segments * (rank + 1)) / degree),
  ];
  return Array.from({ length: degree }, (_, rank) => ({
    attention: part(attention, rank),
    ffn: part(ffn, rank),
  }));
}
