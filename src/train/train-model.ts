/** I/O: `claw train`: a model from nothing, in a run of its own. */

import { join, resolve } from "node:path";
import { describeModel, type TrainConfig } from "./config.ts";
import { prepareData } from "./data/mod.ts";
import { requireFitting } from "./device.ts";
import { exportModel, STORY_TEMPLATE } from "./export/mod.ts";
import { initialParameters } from "./initial.ts";
import { parameterLayout } from "./layout.ts";
import { Learner, openTeacher } from "./learner.ts";
import { lessons } from "./lessons.ts";
import { totalSteps } from "./schedule.ts";
import { Session, type SessionOptions, type SessionOutcome } from "./session.ts";
import { readParameters } from "./weights.ts";

interface TrainOptions extends SessionOptions {
  readonly config: TrainConfig;
}

export interface SessionResult extends SessionOutcome {
  /** What was trained, once the schedule has ended: a model file. */
  readonly file: string | undefined;
}

/** Trains until the schedule ends or `stopped`. Errors: E_CONFIG, E_CHECKPOINT, E_CORPUS, E_FILE, E_MEMORY, E_NUMERIC. */
export async function trainModel(options: TrainOptions): Promise<SessionResult> {
  const { config, base, folder, say } = options;
  const { model, distill } = config;
  const { train, valid, heldOut, vocabulary, tokenizer } = config.data;
  const data = prepareData({
    corpus: resolve(base, train),
    valid: valid === undefined ? undefined : resolve(base, valid),
    tokenizer: tokenizer === undefined ? undefined : resolve(base, tokenizer),
    heldOut,
    vocabulary,
    seed: config.seed,
    folder: join(folder, "data"),
    onProgress: options.onProgress,
  });
  const description = describeModel(model, data.tokenizer.tokenizer.vocabularySize);
  requireFitting(options.device, parameterLayout(description).count);
  const parameters = initialParameters(description, config.seed);
  const learner = new Learner({
    device: options.device,
    description,
    context: model.context,
    parameters,
    optimizer: config.optimizer,
    lanes: config.lanes,
    recompute: config.recompute,
    activations: config.activations,
    distill: distill && {
      teacher: teacherOf(options, resolve(base, distill.teacher)),
      at: lessons(distill, config.schedule, totalSteps(config.schedule, model.context)),
    },
  });
  say(`${model.name}: ${learner.layout.count} parameters, ${data.index.splits.train.tokens} tokens to read.`);
  const followed = distill && { ...distill, fall: undefined };
  const fall = distill?.fall && JSON.stringify(distill.fall);
  const course = { first: [model, heldOut], last: [followed ?? null], fall };
  const { name, context } = model;
  const outcome = await new Session(options, { name, config, course, context, data, learner }).run();
  if (!outcome.ended) return { ...outcome, file: undefined };
  const file = join(folder, `${name}.gguf`);
  const content = { description, parameters: learner.tensors(), tokenizer: data.tokenizer.metadata };
  exportModel(file, { ...content, chatTemplate: STORY_TEMPLATE }, "f16");
  return { ...outcome, file };
}

function teacherOf({ device }: SessionOptions, path: string) {
  return openTeacher(device, readParameters(path));
}
