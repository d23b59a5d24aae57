/** The configuration of a training run: one JSON file, checked as a whole. */

import { z } from "zod";
import { ClawError } from "../base/mod.ts";
import { LINEAR_NAMES } from "../kernels/mod.ts";
import type { ModelDescription } from "../model/mod.ts";
import { parameterLayout } from "./layout.ts";
import { BATCH_MAX, CONTEXT_MAX, LANES_MAX, PARAMETERS_MAX, PREVIEW_TOKENS_MAX, RANK_MAX } from "./limits.ts";

const count = (max: number) => z.int().min(1).max(max);
const share = z.number().min(0).max(1);
const positive = z.number().positive();

const modelSchema = z.strictObject({
  name: z.string().min(1),
  layers: count(1024),
  width: count(16_384),
  heads: count(256),
  kvHeads: count(256),
  headDim: count(512),
  ffnWidth: count(65_536),
  context: count(CONTEXT_MAX),
  ropeBase: positive.default(10_000),
  normEpsilon: positive.max(1).default(1e-5),
});

const dataSchema = z.strictObject({
  /** Text files, UTF-8; relative to the configuration file. */
  train: z.string(),
  /** Without it, some documents of the training text are held out. */
  valid: z.string().optional(),
  heldOut: share.default(0.02),
  /** Size of the vocabulary to learn. */
  vocabulary: count(65_536).default(4096),
  /** A file with a tokenizer to use instead of learning one. */
  tokenizer: z.string().optional(),
});

const scheduleSchema = z.strictObject({
  /** Places read in all; the run ends with the step that reaches it. */
  tokens: count(Number.MAX_SAFE_INTEGER),
  /** Examples in an update, each of the model's context. */
  batch: count(BATCH_MAX),
  /** The share of the steps in which the rate rises to its peak. */
  warmup: share.default(0.05),
  rate: positive,
  /** What the cosine ends at, as a share of the peak. */
  rateEnd: share.default(0.1),
});

const optimizerSchema = z.strictObject({
  beta1: share.default(0.9),
  beta2: share.default(0.95),
  epsilon: positive.default(1e-8),
  decay: z.number().min(0).max(10).default(0.1),
  /** The longest gradient of an update; 0: any. */
  clip: z.number().min(0).default(1),
  /** The longest gradient of an example, in the unit of a whole update's; 0: any. */
  exampleClip: z.number().min(0).default(0),
});

const adapterSchema = z.strictObject({
  /** The model file whose weights stay as they are. */
  base: z.string(),
  rank: count(RANK_MAX),
  alpha: positive,
  targets: z.array(z.enum(LINEAR_NAMES)).min(1).default(["q", "v"]),
  freezeA: z.boolean().default(false),
});

const distillSchema = z.strictObject({
  /** A model file with the same tokenizer. */
  teacher: z.string(),
  /** Of the loss; the rest is the cross-entropy with the text. */
  share: share.default(0.5),
});

const previewSchema = z.strictObject({
  prompt: z.string().min(1).default("Once upon a time"),
  tokens: count(PREVIEW_TOKENS_MAX).default(64),
  temperature: z.number().min(0).max(10).default(0.8),
});

const configSchema = z
  .strictObject({
    /** What is trained from nothing; or `adapter`. */
    model: modelSchema.optional(),
    adapter: adapterSchema.optional(),
    data: dataSchema,
    schedule: scheduleSchema,
    optimizer: optimizerSchema.prefault({}),
    distill: distillSchema.optional(),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
    /** Sums that an update's gradients are added up in: part of the result. */
    lanes: count(LANES_MAX).default(4),
    recompute: z.boolean().default(false),
    /** Steps between two looks at the validation text, and how many batches of it. */
    validEvery: count(Number.MAX_SAFE_INTEGER).default(250),
    validBatches: count(BATCH_MAX).default(8),
    preview: previewSchema.prefault({}),
    /** Seconds of computing between two checkpoints. */
    checkpointSeconds: positive.default(120),
  })
  .refine(({ model, adapter }) => (model === undefined) !== (adapter === undefined), {
    message: "there must be either model or adapter",
  });

export type TrainConfig = z.infer<typeof configSchema>;
export type ModelConfig = z.infer<typeof modelSchema>;
export type OptimizerConfig = z.infer<typeof optimizerSchema>;
export type ScheduleConfig = z.infer<typeof scheduleSchema>;

/** Reads the text of a configuration. E_CONFIG names what is wrong and where. */
export function parseTrainConfig(text: string, file: string): TrainConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ClawError("E_CONFIG", `${file} is not JSON.`, { cause: error });
  }
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  throw new ClawError("E_CONFIG", `${file}: ${place}${issue?.message ?? "it is not a training configuration"}.`);
}

/** The description of a model to be made. E_CONFIG where its widths contradict each other. */
export function describeModel(config: ModelConfig, vocabulary: number): ModelDescription {
  const { name, layers, width, heads, kvHeads, headDim, ffnWidth, context, ropeBase, normEpsilon } = config;
  if (heads % kvHeads !== 0) {
    throw new ClawError("E_CONFIG", `model: ${heads} heads do not share ${kvHeads} KV heads evenly.`);
  }
  if (headDim % 2 !== 0) throw new ClawError("E_CONFIG", `model: a headDim of ${headDim} has no pairs to rotate.`);
  const description: ModelDescription = {
    ...{ name, layers, width, heads, kvHeads, headDim, ffnWidth, context, vocabulary },
    architecture: "llama",
    normEpsilon: Math.fround(normEpsilon),
    rope: { pairs: "adjacent", base: ropeBase, positionDivisor: 1, frequencyDivisors: undefined },
    tiedOutput: true,
  };
  const { count: parameters } = parameterLayout(description);
  if (parameters <= PARAMETERS_MAX) return description;
  throw new ClawError("E_CONFIG", `model: ${parameters} parameters are more than the ${PARAMETERS_MAX} supported.`);
}
