/** I/O: a training run in a folder: opens its data, goes on from its last state, and leaves its log, curve and state there. */

import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ClawError } from "../base/mod.ts";
import type { TrainingDevice } from "../kernels/mod.ts";
import { CheckpointWriter, loadCheckpoint, sizesOf } from "./checkpoint/mod.ts";
import type { RunConfig } from "./config.ts";
import { type CurvePoint, curveSvg, sparkline } from "./curve.ts";
import { type DataCursor, Dataset, type PreparedData } from "./data/mod.ts";
import { arithmeticOf } from "./device.ts";
import type { Learner } from "./learner.ts";
import { preview } from "./preview.ts";
import { runTraining, type StepReport, type ValidReport } from "./run.ts";
import { fallStart, totalSteps } from "./schedule.ts";

export interface SessionOptions {
  /** The folder that the paths of the configuration are relative to. */
  readonly base: string;
  /** Where the run is kept. */
  readonly folder: string;
  readonly device: TrainingDevice;
  /** Seconds since some moment, by the wall clock. */
  clock(): number;
  /** Seconds this process has computed. */
  computed(): number;
  /** Whether to stop after the step that runs, keeping its state. */
  stopped(): boolean;
  say(line: string): void;
  onProgress(stage: string, fraction: number): void;
}

export interface SessionOutcome {
  /** Whether the schedule has ended. */
  readonly ended: boolean;
  /** The last look at the validation text in this call, if there was one. */
  readonly valid: ValidReport | undefined;
}

/** Steps between two lines of progress. */
const LINE_STEPS = 10;
const SPARK_WIDTH = 60;

/** What beside the configuration of every run decides the course of one, as JSON. */
interface Course {
  readonly first: readonly unknown[];
  readonly last: readonly unknown[];
  /** What it turns to when the rate falls. */
  readonly fall?: string | undefined;
}

export interface SessionParts {
  readonly name: string;
  readonly config: RunConfig;
  readonly course: Course;
  /** Tokens of an example. */
  readonly context: number;
  readonly data: PreparedData;
  readonly learner: Learner;
}

/** A line of the log. */
type LogEntry = {
  readonly step: number;
  readonly loss?: number;
  readonly valid?: number;
  readonly agreement?: number;
};

/** What is still open while a run is on its plateau. */
interface RunEnd {
  /** Updates that the run is meant to have. */
  readonly steps: number;
  /** What distillation turns to when the rate falls, as JSON. */
  readonly fall: string | undefined;
}

/** What a checkpoint holds beside the arrays. */
interface RunMeta extends RunEnd {
  /** Where the next examples come from. */
  readonly cursor: DataCursor;
  /** Of everything that decides the run's course; a run of another one cannot go on from here. */
  readonly fingerprint: string;
}

/** One run. */
export class Session {
  readonly #options: SessionOptions;
  readonly #parts: SessionParts;
  readonly #log: LogEntry[];
  readonly #checkpoints: string;
  readonly #writer: CheckpointWriter;
  readonly #logPath: string;
  #fresh: LogEntry[] = [];
  /** Seconds that each checkpoint held the run. */
  readonly #stalls: number[] = [];
  #savedAt: number;
  #lineAt: { readonly clock: number; readonly step: number } | undefined;

  constructor(options: SessionOptions, parts: SessionParts) {
    this.#options = options;
    this.#parts = parts;
    this.#checkpoints = options.folder;
    this.#writer = new CheckpointWriter(this.#checkpoints, sizesOf(parts.learner.state));
    this.#logPath = join(options.folder, "log.jsonl");
    this.#savedAt = options.computed();
    this.#log = readLog(this.#logPath);
  }

  /** Trains until the schedule ends or `stopped`. Errors: E_CHECKPOINT, E_CORPUS, E_FILE, E_NUMERIC. */
  async run(): Promise<SessionOutcome> {
    const { config, data, learner, context } = this.#parts;
    const train = new Dataset(data.folder, { split: "train", context, seed: config.seed });
    let last: ValidReport | undefined;
    try {
      const start = await this.#resume(train);
      const openValid = (): Dataset => new Dataset(data.folder, { split: "valid", context, seed: undefined });
      const ended = await runTraining(
        { config, context, learner, train, openValid, start },
        {
          onStep: (report) => this.#onStep(report),
          onValid: async (report) => {
            last = report;
            await this.#onValid(report);
          },
          afterStep: (step) => this.#afterStep(step, train),
        },
      );
      this.#sayStalls();
      return { ended, valid: last };
    } finally {
      train.close();
      await this.#writer.close();
    }
  }

  /** Takes up the state kept in the folder; the steps it has done. */
  async #resume(train: Dataset): Promise<number> {
    const state = await loadCheckpoint(this.#checkpoints);
    if (state === undefined) return 0;
    const meta = state.meta as RunMeta;
    const end = this.#end();
    const { schedule } = this.#parts.config;
    // A run on its plateau may still be given another end.
    const decided = Math.min(fallStart(end.steps, schedule), fallStart(meta.steps, schedule)) < state.step;
    const differs = end.steps !== meta.steps || end.fall !== meta.fall;
    if (meta.fingerprint !== this.#fingerprint() || (differs && decided)) {
      const why = "is of a run with another configuration, corpus or arithmetic";
      throw new ClawError("E_CHECKPOINT", `${this.#checkpoints} ${why}.`);
    }
    for (const [name, array] of this.#parts.learner.state) array.set(state.arrays.get(name) ?? []);
    train.seek(meta.cursor);
    // What was logged after the state was kept is about to be done again.
    while ((this.#log.at(-1)?.step ?? 0) > state.step) this.#log.pop();
    this.#options.say(`Going on after step ${state.step}.`);
    writeFileSync(this.#logPath, this.#log.map(logLine).join(""));
    return state.step;
  }

  #end(): RunEnd {
    const { config, context, course } = this.#parts;
    return { steps: totalSteps(config.schedule, context), fall: course.fall };
  }

  /** Everything that decides the course of the run, but for its end. */
  #fingerprint(): string {
    const { config, course, data } = this.#parts;
    const { optimizer, seed, lanes, activations = "f32" } = config;
    const schedule = { ...config.schedule, tokens: null };
    const digests = [data.tokenizer.digest, data.index.splits.train.digest];
    const decided = [...course.first, schedule, optimizer, seed, lanes, ...course.last, digests];
    const storage = activations === "f32" ? [] : [activations];
    return JSON.stringify([...decided, ...storage, ...arithmeticOf(this.#options.device)]);
  }

  #onStep(report: StepReport): void {
    const { step, steps, loss, gradientNorm, rate, tokens } = report;
    this.#record({ step, loss });
    this.#lineAt ??= { clock: this.#options.clock(), step: step - 1 };
    if (step % LINE_STEPS !== 0 && step !== steps) return;
    const now = this.#options.clock();
    const speed = ((step - this.#lineAt.step) * tokens) / (now - this.#lineAt.clock);
    this.#lineAt = { clock: now, step };
    const left = Math.round(((steps - step) * tokens) / speed / 60);
    const figures = [
      `step ${step} of ${steps}`,
      `loss ${loss.toFixed(4)}`,
      `gradient ${gradientNorm.toFixed(3)}`,
      `rate ${rate.toExponential(2)}`,
      `${Math.round(speed)} tokens/s`,
      `${left} min left`,
    ];
    this.#options.say(figures.join(", "));
  }

  async #onValid({ step, loss, agreement, targets }: ValidReport): Promise<void> {
    const { say, folder } = this.#options;
    this.#record({ step, valid: loss, agreement });
    const share = (100 * agreement).toFixed(1);
    say(
      `validation: loss ${loss.toFixed(4)}, perplexity ${Math.exp(loss).toFixed(2)}, ${share} % agree (${targets} tokens)`,
    );
    const train = points(this.#log, "loss");
    say(sparkline(train, SPARK_WIDTH));
    const { name } = this.#parts;
    writeFileSync(
      join(folder, "curve.svg"),
      curveSvg(`${name}: loss, nats per token`, train, points(this.#log, "valid")),
    );
    say(await this.#preview(step));
    this.#lineAt = undefined;
  }

  async #preview(step: number): Promise<string> {
    const { config, learner, data, context } = this.#parts;
    const { tokenizer } = data.tokenizer;
    const { prompt, tokens, temperature } = config.preview;
    const written = await preview({
      ...{ tokens, temperature, seed: step, end: data.index.end, context },
      prompt: Int32Array.of(
        data.index.end,
        ...tokenizer.encode(prompt, { addSpecial: false, parseSpecial: false }),
      ),
      logits: (given) => learner.logits(given),
    });
    return `> ${tokenizer.decode(written.subarray(1))}`;
  }

  async #afterStep(step: number, train: Dataset): Promise<boolean> {
    const { clock, computed, stopped } = this.#options;
    const { config } = this.#parts;
    const stop = stopped();
    const end = this.#end();
    if (!stop && step !== end.steps && computed() - this.#savedAt < config.checkpointSeconds) return false;
    this.#flush();
    const meta: RunMeta = { ...end, cursor: train.cursor, fingerprint: this.#fingerprint() };
    const since = clock();
    await this.#writer.save({ step, arrays: this.#parts.learner.state, meta });
    this.#stalls.push(clock() - since);
    this.#savedAt = computed();
    return stop;
  }

  #sayStalls(): void {
    const sorted = this.#stalls.toSorted((a, b) => a - b);
    const [middle, longest] = [sorted[sorted.length >> 1], sorted.at(-1)];
    if (middle === undefined || longest === undefined) return;
    const ms = (seconds: number): string => `${(seconds * 1e3).toFixed(1)} ms`;
    const held = `held the run ${ms(middle)} (median), ${ms(longest)} (at most)`;
    this.#options.say(`Keeping a checkpoint ${held}, of ${sorted.length}.`);
  }

  #record(entry: LogEntry): void {
    this.#log.push(entry);
    this.#fresh.push(entry);
  }

  #flush(): void {
    mkdirSync(dirname(this.#logPath), { recursive: true });
    appendFileSync(this.#logPath, this.#fresh.map(logLine).join(""));
    this.#fresh = [];
  }
}

const logLine = (entry: LogEntry): string => `${JSON.stringify(entry)}\n`;

function readLog(path: string): LogEntry[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as LogEntry);
}

function points(log: readonly LogEntry[], figure: "loss" | "valid"): CurvePoint[] {
  return log.flatMap((entry) => {
    const loss = entry[figure];
    return loss === undefined ? [] : [{ step: entry.step, loss }];
  });
}
