/** I/O: streams that decode while a backlog of long prompts is read: what each does to the other. */

import { basename } from "node:path";
import { assert, at, ClawError } from "../../base/mod.ts";
import { Generator, openModelFile } from "../../model/mod.ts";
import { complete, openTarget, type Target } from "./completion.ts";
import {
  BACKLOG_ALONE_SECONDS,
  BACKLOG_PROMPT_TOKENS,
  BACKLOG_PROMPTS,
  BACKLOG_STREAM_TOKENS,
  BACKLOG_STREAMS,
} from "./limits.ts";
import { sleep } from "./load.ts";
import { gaps, type Spread, spread } from "./record.ts";
import type { BacklogReport, ServingOptions } from "./report.ts";
import type { ServerProcess } from "./server.ts";
import { measuredModel, withServer } from "./started.ts";
import { randomPrompt } from "./workload.ts";

const BACKLOG_STREAM = 1 << 21;
/** Tokens each stream has drawn before it is watched. */
const STREAM_WARM_UP = 4;
const STREAM_PROMPT_TOKENS = 32;

/** Errors: E_SERVER, and those of loading. */
export async function measureBacklog(options: ServingOptions): Promise<BacklogReport> {
  const path = measuredModel(options);
  const lengths = lengthsFor(path);
  const { prompt, stream } = lengths;
  const context = Math.max(prompt + 1, STREAM_PROMPT_TOKENS + stream);
  const streams = BACKLOG_STREAMS * (STREAM_PROMPT_TOKENS + stream);
  // Prompts are read twice, and what a prefix cache keeps of the first ones need not make room.
  const kvPositions = streams + 2 * BACKLOG_PROMPTS * (prompt + 1);
  return withServer(options, { path, context, kvPositions }, async (server) => {
    const { alone, beside, silent, busy } = await run(server, { ...options, lengths });
    const tokens = BACKLOG_PROMPTS * prompt;
    return {
      bench: "serve-backlog",
      unit: "tokens/s",
      ours: tokens / beside,
      alone: tokens / alone,
      ratio: alone / beside,
      model:
        options.model === undefined
          ? { preset: options.preset, file: options.preset }
          : { preset: null, file: basename(options.model) },
      format: options.format,
      interTokenMs: { alone: silent, beside: busy },
      p99OverP50: busy.p99 / silent.p50,
      backlog: { streams: BACKLOG_STREAMS, prompts: BACKLOG_PROMPTS, promptTokens: prompt },
      memory: server.memory(),
    };
  });
}

/** Tokens of the backlog's prompts, and those that a stream draws at most. */
interface Lengths {
  readonly prompt: number;
  readonly stream: number;
}

/** As long as the scenario wants them, or as the model's context allows. */
function lengthsFor(path: string): Lengths {
  const file = openModelFile(path);
  const { context } = file.description;
  file.close();
  return {
    prompt: Math.min(BACKLOG_PROMPT_TOKENS, context - 1),
    stream: Math.min(BACKLOG_STREAM_TOKENS, context - STREAM_PROMPT_TOKENS),
  };
}

interface Seen {
  /** Seconds the backlog took, without and with streams. */
  readonly alone: number;
  readonly beside: number;
  /** Between tokens of the streams, without and with a backlog. */
  readonly silent: Spread;
  readonly busy: Spread;
}

async function run(
  { url }: ServerProcess,
  { seed, onProgress, lengths }: ServingOptions & { readonly lengths: Lengths },
): Promise<Seen> {
  const target = openTarget(url, undefined);
  const generator = new Generator(seed, BACKLOG_STREAM);
  const clock = (): number => performance.now();
  const progress = onProgress("Measuring:");
  const alone = await readBacklog(target, generator, lengths.prompt);
  progress(0.3);
  const away = new AbortController();
  const streams = Array.from({ length: BACKLOG_STREAMS }, () => {
    const times: number[] = [];
    const prompt = randomPrompt(generator, STREAM_PROMPT_TOKENS);
    const plan = { prompt, outputTokens: lengths.stream, arrivalSeconds: 0 };
    const ended = complete(target, { plan, clock, onToken: (ms) => times.push(ms), signal: away.signal });
    return { times, ended };
  });
  while (streams.some(({ times }) => times.length < STREAM_WARM_UP)) await sleep(20);
  const from = clock();
  await sleep(BACKLOG_ALONE_SECONDS * 1000);
  const [middle, beside] = [clock(), await readBacklog(target, generator, lengths.prompt)];
  const to = clock();
  away.abort();
  await Promise.all(streams.map(({ ended }) => ended));
  target.agent.destroy();
  progress(1);
  const between = (first: number, last: number): Spread => {
    const values = spread(streams.flatMap(({ times }) => gapsIn(times, first, last)));
    assert(values !== null, "The streams drew tokens all along.");
    return values;
  };
  return { alone, beside, silent: between(from, middle), busy: between(middle, to) };
}

/** Gaps that end within [first, last]. */
function gapsIn(times: readonly number[], first: number, last: number): number[] {
  return gaps(times).filter((_, index) => {
    const end = at(times, index + 1);
    return end >= first && end <= last;
  });
}

/** Seconds until every prompt of a backlog, all sent at once, has its first token. Errors: E_SERVER. */
async function readBacklog(target: Target, generator: Generator, tokens: number): Promise<number> {
  const start = performance.now();
  const clock = (): number => performance.now() - start;
  const plans = Array.from({ length: BACKLOG_PROMPTS }, () => ({
    prompt: randomPrompt(generator, tokens),
    outputTokens: 1,
    arrivalSeconds: 0,
  }));
  const outcomes = await Promise.all(plans.map((plan) => complete(target, { plan, clock })));
  const error = outcomes.find((outcome) => outcome.error !== undefined)?.error;
  if (error !== undefined)
    throw new ClawError("E_SERVER", `A prompt of the backlog was not answered: ${error}.`);
  return clock() / 1000;
}
