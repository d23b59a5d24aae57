/**
 * A model split over two processes with one compute thread each, and the same model in one process with two threads, by turns:
 * what a token waits for the other process, and what two processes get done together.
 */

import { fileURLToPath } from "node:url";
import { at } from "../../base/mod.ts";
import { startNodes } from "../../cluster/mod.ts";
import { createRuntime } from "../../engine/mod.ts";
import {
  type ExchangeCounts,
  type Executable,
  exchangesSince,
  KV_PAGE_TOKENS,
  type LinkDriver,
  type WeightFormat,
} from "../../kernels/mod.ts";
import { type OpenedFile, openModelFile, type PresetName } from "../../model/mod.ts";
import { timed } from "../clock.ts";
import { kvBytesPerPosition, openNative } from "../local.ts";
import { type ProgressListener, presetFile } from "../preset.ts";
import { interleave, median } from "../rounds.ts";
import { decodeStep, promptStep, type SequenceShape } from "../stepping.ts";
import { twoShards, twoStages } from "./placements.ts";

const launcher = fileURLToPath(new URL("../../../claw", import.meta.url));

/** Sequences of a step where throughput is measured. */
const BATCH = 8;
/** Positions that each sequence has before a round, and tokens of it that a round decodes. */
const FILLED = 64;
const STEPS = 32;
const CONTEXT = FILLED + STEPS;
/** A process with as many threads as the ranks have together. */
const THREADS = 2;

export interface ShardOptions {
  readonly preset: PresetName;
  readonly format: WeightFormat;
  /** Where the files of presets are kept. */
  readonly folder: string;
  readonly rounds: number;
  /** What links the processes. */
  readonly driver: LinkDriver;
  readonly onProgress: (what: string) => ProgressListener;
}

/** Two processes beside one. */
export interface SplitFigures {
  /** Medians, in tokens per second. */
  readonly split: number;
  readonly alone: number;
  readonly ratio: number;
  /** Exchanges of a step, of the rank that has most: what a token waits for. */
  readonly roundTripsPerToken: number;
  /** Sent by all ranks. */
  readonly messagesPerToken: number;
  readonly messageBytesPerToken: number;
  /** The share of all rounds that the compute threads of a rank waited within exchanges, the mean of the ranks. */
  readonly waitedShare: number;
  readonly splitSeconds: readonly number[];
  readonly aloneSeconds: readonly number[];
}

export interface ShardReport {
  readonly bench: "shard";
  readonly model: string;
  readonly format: WeightFormat;
  readonly driver: LinkDriver;
  readonly rounds: number;
  /** Tensor parallelism: one sequence, and a step of it. */
  readonly tensorRatio: number;
  readonly tensor: SplitFigures;
  /** Pipeline parallelism: steps of `batch` sequences each, one in either stage at a time, beside steps of as many alone. */
  readonly batch: number;
  readonly pipelineRatio: number;
  readonly pipeline: SplitFigures;
  /** `batch` sequences in all, half of them in a step of either stage. */
  readonly pipelineHalvesRatio: number;
  readonly pipelineHalves: SplitFigures;
  /** The same in one step: a stage is idle while the other one works. */
  readonly pipelineOneStepRatio: number;
  readonly pipelineOneStep: SplitFigures;
}

/** E_NATIVE, E_FILE, E_MEMORY, E_LINK, E_PLACEMENT. */
export async function measureShards(options: ShardOptions): Promise<ShardReport> {
  const { preset, format, folder, rounds, driver } = options;
  const path = presetFile(folder, { preset, format }, options.onProgress("Writing the model:"));
  const model = openModelFile(path);
  const alone = await openAlone(model, format);
  try {
    const tensor = await measureTensor(model, alone, options);
    const pipeline = await measurePipeline(model, alone, options);
    return {
      bench: "shard",
      model: model.description.name,
      ...{ format, driver, rounds },
      tensorRatio: tensor.ratio,
      tensor,
      batch: BATCH,
      pipelineRatio: pipeline.twoSteps.ratio,
      pipeline: pipeline.twoSteps,
      pipelineHalvesRatio: pipeline.halves.ratio,
      pipelineHalves: pipeline.halves,
      pipelineOneStepRatio: pipeline.oneStep.ratio,
      pipelineOneStep: pipeline.oneStep,
    };
  } finally {
    alone.close();
    model.close();
  }
}

/** Sequences of one step block. */
interface Block {
  readonly executable: Executable;
  readonly sequences: number;
}

interface Contender {
  readonly blocks: readonly Block[];
  readonly shape: SequenceShape;
}

interface Alone {
  readonly executable: Executable;
  close(): void;
}

async function openAlone(model: OpenedFile, format: WeightFormat): Promise<Alone> {
  const device = await openNative(THREADS);
  const runtime = await createRuntime(device, model, sizesOf(model, format));
  return { executable: runtime.executable, close: () => device.close() };
}

function sizesOf(model: OpenedFile, format: WeightFormat): Parameters<typeof createRuntime>[2] {
  const kvBytes = 2 * BATCH * pagesEach * KV_PAGE_TOKENS * kvBytesPerPosition(model);
  return { format, context: CONTEXT, batch: 2 * BATCH, rows: FILLED, kvFormat: "f16", kvBytes };
}

const pagesEach: number = Math.ceil(CONTEXT / KV_PAGE_TOKENS);

function startSplit(
  model: OpenedFile,
  placement: ReturnType<typeof twoShards>,
  { format, driver }: ShardOptions,
): ReturnType<typeof startNodes> {
  const how = { command: [launcher], device: "native", threads: 1, ownCores: true } as const;
  return startNodes(model, { ...sizesOf(model, format), ...how, placement, driver });
}

async function measureTensor(model: OpenedFile, alone: Alone, options: ShardOptions): Promise<SplitFigures> {
  const nodes = await startSplit(model, twoShards(model.description), options);
  const shape = { pages: pagesEach, vocabulary: model.description.vocabulary };
  try {
    const split = await contender([{ executable: nodes.executable, sequences: 1 }], shape);
    const single = await contender([{ executable: alone.executable, sequences: 1 }], shape);
    return await versus({
      split,
      single,
      rounds: options.rounds,
      count: () => nodes.executable.exchangesOfRanks,
    });
  } finally {
    await nodes.close();
  }
}

async function measurePipeline(
  model: OpenedFile,
  alone: Alone,
  options: ShardOptions,
): Promise<Record<"twoSteps" | "halves" | "oneStep", SplitFigures>> {
  const nodes = await startSplit(model, twoStages(model.description, options.format), options);
  const shape = { pages: pagesEach, vocabulary: model.description.vocabulary };
  try {
    const first: Block = { executable: nodes.executable, sequences: BATCH };
    const second: Block = { executable: nodes.executable.beside(), sequences: BATCH };
    const both = await contender([first, second], shape);
    const single = await contender([{ executable: alone.executable, sequences: BATCH }], shape);
    const rest = { single, rounds: options.rounds, count: () => nodes.executable.exchangesOfRanks };
    const twoSteps = await versus({ split: both, ...rest });
    const half = ({ executable }: Block): Block => ({ executable, sequences: BATCH / 2 });
    const halves = await versus({ split: { blocks: [half(first), half(second)], shape }, ...rest });
    const oneStep = await versus({ split: { blocks: [first], shape }, ...rest });
    return { twoSteps, halves, oneStep };
  } finally {
    await nodes.close();
  }
}

/** Sequences with something in their KV cache, the blocks on pages apart. */
async function contender(blocks: readonly Block[], shape: SequenceShape): Promise<Contender> {
  let page = 0;
  for (const { executable, sequences } of blocks) {
    for (let entry = 0; entry < sequences * shape.pages; entry++) executable.step.pages[entry] = page++;
    for (let sequence = 0; sequence < sequences; sequence++) {
      await promptStep(executable, { sequence, count: FILLED }, shape);
    }
  }
  return { blocks, shape };
}

/** A round: every block decodes all its steps, whatever the others do. */
async function decode({ blocks, shape }: Contender): Promise<void> {
  await Promise.all(
    blocks.map(async ({ executable, sequences }) => {
      for (let position = FILLED; position < CONTEXT; position++) {
        await decodeStep(executable, { first: 0, count: sequences, position }, shape);
      }
    }),
  );
}

interface Versus {
  readonly split: Contender;
  readonly single: Contender;
  readonly rounds: number;
  readonly count: () => readonly ExchangeCounts[];
}

async function versus({ split, single, rounds, count }: Versus): Promise<SplitFigures> {
  const before = count();
  const { ours, peer } = await interleave(
    rounds,
    async () => ({ split: await timed(() => decode(split)) }),
    async () => ({ alone: await timed(() => decode(single)) }),
  );
  const after = count();
  const tokensOf = ({ blocks }: Contender): number =>
    STEPS * blocks.reduce((sum, { sequences }) => sum + sequences, 0);
  // The round that does not count exchanged, too.
  const steps = STEPS * (rounds + 1) * split.blocks.length;
  const tokens = tokensOf(split) * (rounds + 1);
  const grown = after.map((counts, rank) => exchangesSince(at(before, rank), counts));
  const sum = (of: "messages" | "bytes" | "waitedSeconds"): number =>
    grown.reduce((all, counts) => all + counts[of], 0);
  const aloneSeconds = peer?.alone ?? [];
  const [fast, slow] = [tokensOf(split) / median(ours.split), tokensOf(single) / median(aloneSeconds)];
  return {
    split: fast,
    alone: slow,
    ratio: fast / slow,
    roundTripsPerToken: Math.max(...grown.map(({ exchanges }) => exchanges)) / steps,
    messagesPerToken: sum("messages") / tokens,
    messageBytesPerToken: sum("bytes") / tokens,
    // Of the round that does not count, too, which took about as long as the others.
    waitedShare: sum("waitedSeconds") / after.length / (median(ours.split) * (rounds + 1)),
    splitSeconds: ours.split,
    aloneSeconds,
  };
}
