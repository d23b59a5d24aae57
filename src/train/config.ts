/** The configuration of a training run: one JSON file, checked as a whole. */

import { z } from "zod";
import { ClawError } from "../base/mod.ts";
import { ADAPTER_RANK_MAX, type StorageType } from "../kernels/mod.ts";
import { ALPHA_MAX, layerMatrices, type ModelDescription, targetName } from "../model/mod.ts";
import { parameterLayout } from "./layout.ts";
import {
  BATCH_MAX,
  BF16_BETA_MAX,
  CHECKPOINT_SECONDS_DEFAULT,
  CONTEXT_MAX,
  LANES_MAX,
  PARAMETERS_MAX,
  PREVIEW_TOKENS_MAX,
  STEPS_MAX,
  TEMPERATURE_MAX,
  TEMPERATURE_MIN,
} from "./limits.ts";

/** What is trained from nothing: its widths, as in `ModelDescription`. */
export interface ModelConfig {
  readonly name: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  /** Tokens of an example, and positions the model is made for. */
  readonly context: number;
  readonly ropeBase: number;
  readonly normEpsilon: number;
}

interface DataConfig {
  /** Text files, UTF-8; relative to the configuration file. */
  readonly train: string;
  /** Without it, some documents of the training text are held out. */
  readonly valid?: string | undefined;
  /** The share of documents that are. */
  readonly heldOut: number;
  /** Tokens to learn. */
  readonly vocabulary: number;
  /** A file with a tokenizer to use instead of learning one. */
  readonly tokenizer?: string | undefined;
}

export interface ScheduleConfig {
  /** Places read in all; the run ends with the step that reaches it. */
  readonly tokens: number;
  /** Examples in an update, each of the model's context. */
  readonly batch: number;
  /** Steps in which the rate rises to its peak. */
  readonly warmup: number;
  readonly rate: number;
  /** What it falls to in the end, as a share of the peak. */
  readonly rateEnd: number;
  /** Falls along half a cosine, or stays and falls linearly in the last steps. */
  readonly shape: "cosine" | "stable";
  /** Share of the steps that are those last ones. */
  readonly fall: number;
}

export interface OptimizerConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
  /** The longest gradient of an update; 0: any. */
  readonly clip: number;
  /** The longest gradient of an example, were the update made of it alone; 0: any. */
  readonly exampleClip: number;
  /** What the moments are kept in; f32 unless said. */
  readonly moments?: "f32" | "bf16" | undefined;
}

/** How a teacher is followed; what is left of the loss is the cross-entropy with the text. */
interface LessonConfig {
  /** Of the loss: the divergence from the teacher's distribution. */
  readonly share: number;
  /** At which both distributions are taken; 1 unless said. Below it, the likeliest tokens count more. */
  readonly temperature?: number | undefined;
  /** Of the loss: the cross-entropy with the teacher's most likely token; 0 unless said. */
  readonly greedy?: number | undefined;
}

export interface DistillConfig extends LessonConfig {
  /** A model file with the same tokenizer. */
  readonly teacher: string;
  /** What of this is otherwise once the rate falls. */
  readonly fall?: { readonly [Key in keyof LessonConfig]?: LessonConfig[Key] | undefined } | undefined;
}

interface PreviewConfig {
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
}

/** What every run goes by, whatever it trains. */
export interface RunConfig {
  readonly schedule: ScheduleConfig;
  readonly optimizer: OptimizerConfig;
  readonly seed: number;
  /** Sums that an update's gradients are added up in: part of the result. */
  readonly lanes: number;
  readonly recompute: boolean;
  /** What activations are kept in between the passes; f32 unless said. */
  readonly activations?: StorageType | undefined;
  /** Steps between two looks at the validation text, and how many batches of it. */
  readonly validEvery: number;
  readonly validBatches: number;
  readonly preview: PreviewConfig;
  /** Seconds of computing between two checkpoints. */
  readonly checkpointSeconds: number;
}

export interface TrainConfig extends RunConfig {
  readonly model: ModelConfig;
  readonly data: DataConfig;
  readonly distill?: DistillConfig | undefined;
}

/** An adapter to train beside a model. */
export interface LoraConfig extends RunConfig {
  /** What the adapter is called. */
  readonly name: string;
  /** The model file; relative to the configuration file. */
  readonly base: string;
  readonly adapter: {
    readonly rank: number;
    readonly alpha: number;
    /** Matrices by PEFT's names. */
    readonly targets: readonly string[];
    /** Whether A stays as it was drawn and only B is trained (FFA-LoRA: Sun and others, 2024). */
    readonly freezeA: boolean;
  };
  /** Tokens of an example; undefined: the model's context. */
  readonly context?: number | undefined;
  readonly data: Omit<DataConfig, "vocabulary" | "tokenizer">;
}

const count = (max: number): z.ZodInt => z.int().min(1).max(max);
const share: z.ZodNumber = z.number().min(0).max(1);
const positive: z.ZodNumber = z.number().positive();

const modelSchema: z.ZodType<ModelConfig> = z.strictObject({
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

const textShape = {
  train: z.string(),
  valid: z.string().optional(),
  heldOut: share.default(0.02),
};

const dataSchema: z.ZodType<DataConfig> = z.strictObject({
  ...textShape,
  vocabulary: count(65_536).default(4096),
  tokenizer: z.string().optional(),
});

const scheduleSchema: z.ZodType<ScheduleConfig> = z.strictObject({
  tokens: count(Number.MAX_SAFE_INTEGER),
  batch: count(BATCH_MAX),
  warmup: z.int().min(0).max(STEPS_MAX).default(100),
  rate: positive,
  rateEnd: share.default(0.1),
  shape: z.enum(["cosine", "stable"]).default("cosine"),
  fall: share.default(0.25),
});

const optimizerSchema: z.ZodType<OptimizerConfig> = z
  .strictObject({
    beta1: share.default(0.9),
    beta2: share.default(0.95),
    epsilon: positive.default(1e-8),
    decay: z.number().min(0).max(10).default(0.1),
    clip: z.number().min(0).default(1),
    exampleClip: z.number().min(0).default(0),
    moments: z.enum(["f32", "bf16"]).optional(),
  })
  .refine(
    ({ moments, beta1, beta2 }) => moments !== "bf16" || Math.max(beta1, beta2) <= BF16_BETA_MAX,
    `as bf16, moments need beta1 and beta2 of at most ${BF16_BETA_MAX}: above it they are rounded back to where they were`,
  );

const temperature: z.ZodNumber = z.number().min(TEMPERATURE_MIN).max(TEMPERATURE_MAX);

/** Keys that were not given stay away: they are not part of a run's fingerprint. */
const distillSchema: z.ZodType<DistillConfig> = z
  .strictObject({
    teacher: z.string(),
    share: share.default(0.5),
    temperature: temperature.optional(),
    greedy: share.optional(),
    fall: z
      .strictObject({
        share: share.optional(),
        temperature: temperature.optional(),
        greedy: share.optional(),
      })
      .optional(),
  })
  .refine(
    ({ share: whole, greedy = 0, fall }) =>
      Math.max(whole + greedy, (fall?.share ?? whole) + (fall?.greedy ?? greedy)) <= 1,
    "share and greedy are parts of one loss: together at most 1",
  );

const previewSchema: z.ZodType<PreviewConfig> = z.strictObject({
  prompt: z.string().min(1).default("Once upon a time"),
  tokens: count(PREVIEW_TOKENS_MAX).default(64),
  temperature: z.number().min(0).max(10).default(0.8),
});

const runShape = {
  schedule: scheduleSchema,
  optimizer: optimizerSchema.prefault({}),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
  lanes: count(LANES_MAX).default(4),
  recompute: z.boolean().default(false),
  activations: z.enum(["f32", "f16", "bf16"]).optional(),
  validEvery: count(Number.MAX_SAFE_INTEGER).default(250),
  validBatches: count(BATCH_MAX).default(8),
  preview: previewSchema.prefault({}),
  checkpointSeconds: positive.default(CHECKPOINT_SECONDS_DEFAULT),
};

/** Whether layers are kept in 16 bits or computed again, not both. */
function keepsOneWay({ recompute, activations = "f32" }: RunConfig): boolean {
  return !recompute || activations === "f32";
}
const BOTH_WAYS = "activations are kept in 16 bits or computed again, not both";

const trainSchema: z.ZodType<TrainConfig> = z
  .strictObject({
    model: modelSchema,
    data: dataSchema,
    distill: distillSchema.optional(),
    ...runShape,
  })
  .refine(keepsOneWay, BOTH_WAYS);

const targets: readonly string[] = layerMatrices.map(targetName);

const loraSchema: z.ZodType<LoraConfig> = z
  .strictObject({
    name: z.string().regex(/^[\w.-]{1,64}$/, "letters, digits, dots, dashes and underscores were expected"),
    base: z.string(),
    adapter: z
      .strictObject({
        rank: count(ADAPTER_RANK_MAX).default(8),
        alpha: positive.max(ALPHA_MAX).default(16),
        targets: z
          .array(z.enum(targets))
          .min(1)
          .default([...targets]),
        freezeA: z.boolean().default(false),
      })
      .prefault({}),
    context: count(CONTEXT_MAX).optional(),
    data: z.strictObject(textShape),
    ...runShape,
  })
  .refine(keepsOneWay, BOTH_WAYS);

/** Reads the text of a configuration. E_CONFIG names what is wrong and where. */
export function parseTrainConfig(text: string, file: string): TrainConfig {
  return parseWith(trainSchema, text, file);
}

/** The same for one of an adapter. */
export function parseLoraConfig(text: string, file: string): LoraConfig {
  return parseWith(loraSchema, text, file);
}

function parseWith<T>(schema: z.ZodType<T>, text: string, file: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ClawError("E_CONFIG", `${file} is not JSON.`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  throw new ClawError(
    "E_CONFIG",
    `${file}: ${place}${issue?.message ?? "it is not a training configuration"}.`,
  );
}

/** The description of a model to be made. E_CONFIG where its widths contradict each other. */
export function describeModel(config: ModelConfig, vocabulary: number): ModelDescription {
  const { name, layers, width, heads, kvHeads, headDim, ffnWidth, context, ropeBase, normEpsilon } = config;
  if (heads % kvHeads !== 0) {
    throw new ClawError("E_CONFIG", `model: ${heads} heads do not share ${kvHeads} KV heads evenly.`);
  }
  if (headDim % 2 !== 0)
    throw new ClawError("E_CONFIG", `model: a headDim of ${headDim} has no pairs to rotate.`);
  const description: ModelDescription = {
    ...{ name, layers, width, heads, kvHeads, headDim, ffnWidth, context, vocabulary },
    architecture: "llama",
    normEpsilon: Math.fround(normEpsilon),
    rope: { pairs: "adjacent", base: ropeBase, positionDivisor: 1, frequencyDivisors: undefined },
    tiedOutput: true,
  };
  const { count: parameters } = parameterLayout(description);
  if (parameters <= PARAMETERS_MAX) return description;
  throw new ClawError(
    "E_CONFIG",
    `model: ${parameters} parameters are more than the ${PARAMETERS_MAX} supported.`,
  );
}
