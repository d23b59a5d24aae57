/** I/O: `claw train lora`: an adapter beside a model whose own weights stay as they are, in a run of its own. */

import { join, resolve } from "node:path";
import { ClawError } from "../base/mod.ts";
import { LINEAR_NAMES } from "../kernels/mod.ts";
import {
  type AdapterMatrix,
  layerTensor,
  type ModelDescription,
  matrixOfTarget,
  writeAdapter,
} from "../model/mod.ts";
import type { LoraConfig } from "./config.ts";
import { Dataset, type PreparedData, prepareData } from "./data/mod.ts";
import { requireFitting } from "./device.ts";
import { initialAdapters } from "./initial.ts";
import { type AdapterShape, layerMatrixOf } from "./layout.ts";
import { Learner, openTeacher } from "./learner.ts";
import { lossOn } from "./run.ts";
import { Session, type SessionOptions } from "./session.ts";
import { readParameters } from "./weights.ts";

interface LoraOptions extends SessionOptions {
  readonly config: LoraConfig;
}

export interface LoraResult {
  readonly ended: boolean;
  /** The adapter's folder, once the schedule has ended. */
  readonly file: string | undefined;
  /** Of all of the held-out text: e to the loss per token, of the model alone and, in the end, with the adapter. */
  readonly before: number;
  readonly after: number | undefined;
}

/** Trains until the schedule ends or `stopped`. Errors: E_CONFIG, E_CHECKPOINT, E_CORPUS, E_FILE, E_MEMORY, E_MODEL_SHAPE, E_NUMERIC. */
export async function trainAdapter(options: LoraOptions): Promise<LoraResult> {
  const { config, device, folder, say } = options;
  const { name, seed, lanes, recompute, activations, optimizer } = config;
  const basePath = resolve(options.base, config.base);
  const { description, parameters } = readParameters(basePath);
  requireFitting(device, parameters.length);
  const context = contextOf(config, description);
  const data = dataOf(options, basePath);
  const shape = shapeOf(config);
  const values = initialAdapters(description, shape, seed);
  const learner = new Learner({
    ...{ device, description, context, parameters, optimizer, lanes, recompute, activations },
    adapter: { ...shape, values },
  });
  const { tokens } = data.index.splits.train;
  say(`${name}: ${values.length} values beside ${description.name}, ${tokens} tokens to read.`);
  const before = Math.exp(await baseLoss(options, { description, parameters, context, data }));
  say(`${description.name} alone: perplexity ${before.toFixed(2)} on the held-out text.`);
  const course = { first: ["lora", config.adapter, context, config.data.heldOut], last: [] };
  const { ended, valid } = await new Session(options, { name, config, course, context, data, learner }).run();
  if (!ended) return { ended, file: undefined, before, after: undefined };
  const file = join(folder, "adapter");
  writeAdapter(file, {
    config: { ...config.adapter, rankStabilized: false },
    matrices: matricesOf(learner, description),
    model: description,
  });
  return { ended, file, before, after: valid && Math.exp(valid.loss) };
}

function contextOf({ context }: LoraConfig, model: ModelDescription): number {
  if (context === undefined) return model.context;
  if (context <= model.context) return context;
  throw new ClawError(
    "E_CONFIG",
    `A context of ${context} was asked for; ${model.name} has ${model.context}.`,
  );
}

function dataOf({ config, base, folder, onProgress }: LoraOptions, model: string): PreparedData {
  const { train, valid, heldOut } = config.data;
  return prepareData({
    corpus: resolve(base, train),
    valid: valid === undefined ? undefined : resolve(base, valid),
    // The tokens are the model's; none are learned.
    tokenizer: model,
    vocabulary: 0,
    heldOut,
    seed: config.seed,
    folder: join(folder, "data"),
    onProgress,
  });
}

function shapeOf({ adapter }: LoraConfig): AdapterShape {
  const { rank, alpha, freezeA } = adapter;
  const matrices = adapter.targets.map(matrixOfTarget);
  const targets = LINEAR_NAMES.filter((name) => matrices.includes(layerMatrixOf[name]));
  return { rank, alpha, targets, freezeA };
}

interface BaseParts {
  readonly description: ModelDescription;
  readonly parameters: Float32Array;
  readonly context: number;
  readonly data: PreparedData;
}

/** Nats per token of the held-out text under the model alone, with the examples that validation takes. */
async function baseLoss(
  { config, device }: LoraOptions,
  { description, parameters, context, data }: BaseParts,
): Promise<number> {
  const { lanes } = config;
  const model = openTeacher(device, { description, parameters }, { lanes, context });
  const valid = new Dataset(data.folder, { split: "valid", context, seed: undefined });
  try {
    const how = { length: context, withGradient: false, weight: 0, exampleNorm: 0, teacherShare: 0 };
    const evaluate = ({ values }: { readonly values: Int32Array }) => model.batch(values, how);
    return (await lossOn(valid, evaluate, { context, batch: config.schedule.batch, windows: valid.windows }))
      .loss;
  } finally {
    valid.close();
  }
}

function matricesOf(learner: Learner, model: ModelDescription): Map<string, AdapterMatrix> {
  const tensors = learner.tensors();
  const layers = Array.from({ length: model.layers }, (_, layer) => layer);
  const names = layers.flatMap((layer) =>
    LINEAR_NAMES.map((name) => layerTensor(layer, layerMatrixOf[name])),
  );
  return new Map(
    names.flatMap((tensor) => {
      const [a, b] = [tensors.get(`${tensor}.lora_a`), tensors.get(`${tensor}.lora_b`)];
      return a === undefined || b === undefined ? [] : [[tensor, { a, b }] as const];
    }),
  );
}
