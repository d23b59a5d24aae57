/** Reads the `llama` architecture (Llama 2 and 3, Mistral, SmolLM) from GGUF metadata. */

import { ClawError } from "../../base/mod.ts";
import type { Gguf, Metadata } from "../gguf/mod.ts";
import type { ModelDescription } from "./description.ts";
import {
  CONTEXT_MAX,
  FFN_WIDTH_MAX,
  HEAD_DIM_MAX,
  HEADS_MAX,
  LAYERS_MAX,
  ROPE_BASE_MAX,
  ROPE_BASE_MIN,
  ROPE_DIVISOR_MAX,
  ROPE_DIVISOR_MIN,
  VOCABULARY_MAX,
  WIDTH_MAX,
} from "./limits.ts";

const DEFAULT_ROPE_BASE = 10_000;

/** The description of a `llama` file; `frequencyDivisors` are the values of its rope_freqs.weight, if it has one. */
export function describeLlama(gguf: Gguf, frequencyDivisors: Float32Array | undefined): ModelDescription {
  const { metadata } = gguf;
  const width = count(metadata, "llama.embedding_length", WIDTH_MAX);
  const heads = count(metadata, "llama.attention.head_count", HEADS_MAX);
  const kvHeads = count(metadata, "llama.attention.head_count_kv", HEADS_MAX, heads);
  const headDim = count(metadata, "llama.attention.key_length", HEAD_DIM_MAX, width / heads);
  const vocabulary = vocabularySize(gguf);
  const description: ModelDescription = {
    architecture: "llama",
    name: metadata.optionalString("general.name") ?? "llama",
    layers: count(metadata, "llama.block_count", LAYERS_MAX),
    width,
    heads,
    kvHeads,
    headDim,
    ffnWidth: count(metadata, "llama.feed_forward_length", FFN_WIDTH_MAX),
    vocabulary,
    context: count(metadata, "llama.context_length", CONTEXT_MAX),
    normEpsilon: epsilon(metadata),
    rope: {
      pairs: "adjacent",
      base: within(metadata, "llama.rope.freq_base", { ...ROPE_BASE, otherwise: DEFAULT_ROPE_BASE }),
      positionDivisor: positionDivisor(metadata),
      frequencyDivisors,
    },
    tiedOutput: !gguf.tensors.has("output.weight"),
  };
  checkConsistency(metadata, description);
  return description;
}

/** A positive integer of at most `limit`. */
function count(metadata: Metadata, key: string, ...[limit, fallback]: [number, number?]): number {
  const value = fallback === undefined ? metadata.number(key) : (metadata.optionalNumber(key) ?? fallback);
  if (Number.isInteger(value) && value >= 1 && value <= limit) return value;
  throw new ClawError("E_MODEL_SHAPE", `${key} is ${value}; a whole number from 1 to ${limit} was expected.`);
}

interface Range {
  readonly min: number;
  readonly max: number;
  /** Where the file says nothing. */
  readonly otherwise: number;
}

const ROPE_BASE = { min: ROPE_BASE_MIN, max: ROPE_BASE_MAX } as const;
const ROPE_DIVISOR: Range = { min: ROPE_DIVISOR_MIN, max: ROPE_DIVISOR_MAX, otherwise: 1 };

function within(metadata: Metadata, key: string, { min, max, otherwise }: Range): number {
  const value = metadata.optionalNumber(key) ?? otherwise;
  if (value >= min && value <= max) return value;
  throw new ClawError("E_MODEL_SHAPE", `${key} is ${value}; a number from ${min} to ${max} was expected.`);
}

function epsilon(metadata: Metadata): number {
  const value = metadata.number("llama.attention.layer_norm_rms_epsilon");
  if (value >= 0 && value < 1) return Math.fround(value);
  throw new ClawError("E_MODEL_SHAPE", `The norm epsilon is ${value}; a number from 0 to 1 was expected.`);
}

function positionDivisor(metadata: Metadata): number {
  const type = metadata.optionalString("llama.rope.scaling.type") ?? "none";
  if (type === "linear") return within(metadata, "llama.rope.scaling.factor", ROPE_DIVISOR);
  // Llama 3's scaling arrives as the tensor rope_freqs.weight, whatever the type says.
  if (type === "none") return within(metadata, "llama.rope.scale_linear", ROPE_DIVISOR);
  throw new ClawError(
    "E_ARCHITECTURE",
    `RoPE scaling of type ${type} is not supported; none and linear are.`,
  );
}

function vocabularySize(gguf: Gguf): number {
  const rows = gguf.tensors.get("token_embd.weight")?.shape[1];
  const size = rows ?? gguf.metadata.number("llama.vocab_size");
  if (Number.isInteger(size) && size >= 1 && size <= VOCABULARY_MAX) return size;
  throw new ClawError(
    "E_MODEL_SHAPE",
    `The vocabulary has ${size} entries; 1 to ${VOCABULARY_MAX} were expected.`,
  );
}

function checkConsistency(metadata: Metadata, model: ModelDescription): void {
  const refuse = (problem: string): never => {
    throw new ClawError("E_MODEL_SHAPE", problem);
  };
  if (model.heads % model.kvHeads !== 0) {
    refuse(`${model.heads} attention heads do not share ${model.kvHeads} KV heads evenly.`);
  }
  if (model.headDim % 2 !== 0) refuse(`A head dimension of ${model.headDim} has no pairs to rotate.`);
  const rotated = metadata.optionalNumber("llama.rope.dimension_count") ?? model.headDim;
  if (rotated !== model.headDim) {
    refuse(`RoPE over ${rotated} of ${model.headDim} head dimensions is not supported.`);
  }
  const valueDim = metadata.optionalNumber("llama.attention.value_length") ?? model.headDim;
  if (valueDim !== model.headDim)
    refuse(`Keys of ${model.headDim} and values of ${valueDim} are not supported.`);
  if ((metadata.optionalNumber("llama.expert_count") ?? 0) > 0) {
    throw new ClawError("E_ARCHITECTURE", "Mixture-of-experts models are not supported yet.");
  }
  const divisors = model.rope.frequencyDivisors;
  if (divisors !== undefined && divisors.length !== model.headDim / 2) {
    refuse(`rope_freqs.weight holds ${divisors.length} values; ${model.headDim / 2} were expected.`);
  }
  if (divisors?.some((divisor) => !(divisor >= ROPE_DIVISOR_MIN && divisor <= ROPE_DIVISOR_MAX))) {
    refuse(`rope_freqs.weight holds values outside ${ROPE_DIVISOR_MIN} to ${ROPE_DIVISOR_MAX}.`);
  }
}
