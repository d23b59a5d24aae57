/** I/O: `claw audit replay|range|forget`: what a server's ledger holds, computed once more, or forgotten. */

import { type Archive, type Replay, replay, type StreamState } from "../../audit/mod.ts";
import { asClawError, ClawError } from "../../base/mod.ts";
import { type ModelOptions, modelOptions, numberOption, type OptionTable } from "../../config/mod.ts";
import { type ReplayEngineOptions, replayEngineOptions, withReplayEngine } from "../audit-engine.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel } from "../files.ts";
import { type LedgerSettings, ledgerSettings, openArchive } from "../ledger-settings.ts";
import { formatCount } from "../numbers.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface ReplaySettings extends LedgerSettings, ModelOptions, ReplayEngineOptions {}

const replaySettings: OptionTable<ReplaySettings> = {
  ...ledgerSettings,
  ...modelOptions,
  ...replayEngineOptions,
};

export const auditReplay: Command = defineCommand<ReplaySettings>({
  name: "audit replay",
  summary: "Computes a recorded answer once more and compares every token.",
  operands: "INDEX",
  operandCount: [1, 1],
  options: replaySettings,
  run: async (settings, [index = ""]) => {
    const archive = await openArchive("audit replay", settings);
    const state = await archive.state(indexOf(index));
    const [result] = await replayAll([state], archive, settings);
    if (result === undefined) throw forgotten(state.index);
    if (settings.json) await printJson(result);
    if (!result.same) throw differs(result);
    if (!settings.json)
      await print(`Entry ${result.index}: all ${formatCount(result.tokens)} tokens are the same.\n`);
  },
});

interface RangeSettings extends ReplaySettings {
  readonly sample: number;
  readonly seed: number;
}

const SAMPLE_MAX = 1_000_000;

export const auditRange: Command = defineCommand<RangeSettings>({
  name: "audit range",
  summary: "Replays a sample of the streams that entries FIRST to before END tell of; END may be `end`.",
  operands: "FIRST END",
  operandCount: [2, 2],
  options: {
    ...replaySettings,
    sample: numberOption({
      flag: "sample",
      meaning: "how many streams, chosen by chance",
      range: [1, SAMPLE_MAX],
      default: 100,
    }),
    seed: numberOption({
      flag: "seed",
      meaning: "of the choice",
      range: [0, Number.MAX_SAFE_INTEGER],
      default: 0,
    }),
  },
  run: async (settings, [first = "", end = ""]) => {
    const archive = await openArchive("audit range", settings);
    const found = await archive.lastOfStreams(indexOf(first), end === "end" ? archive.size : indexOf(end));
    const chosen = sampleOf(found, settings);
    const states: StreamState[] = [];
    for (const index of chosen) states.push(await archive.state(index));
    const results = await replayAll(states, archive, settings);
    const different = results.filter(({ same }) => !same);
    const tokens = results.reduce((sum, result) => sum + result.tokens, 0);
    const counts = {
      streams: found.length,
      replayed: results.length,
      forgotten: chosen.length - results.length,
    };
    if (settings.json) await printJson({ ...counts, tokens, different });
    const [one] = different;
    if (one !== undefined) throw differs(one, different.length);
    if (settings.json) return;
    await print(
      `${formatCount(counts.replayed)} of ${formatCount(counts.streams)} streams replayed, ${formatCount(tokens)} tokens: all are the same. ${formatCount(counts.forgotten)} more are forgotten.\n`,
    );
  },
});

export const auditForget: Command = defineCommand<LedgerSettings>({
  name: "audit forget",
  summary: "Removes prompt, answer and salts of a recorded stream for ever; the log stays as it is.",
  operands: "INDEX",
  operandCount: [1, 1],
  options: ledgerSettings,
  run: async (settings, [index = ""]) => {
    const archive = await openArchive("audit forget", settings);
    const { stream } = await archive.entry(indexOf(index));
    const removed = await archive.vault.forget(stream);
    if (settings.json) return printJson({ stream, removed });
    return print(
      removed ? `The stream ${stream} is forgotten.\n` : `The stream ${stream} was forgotten before.\n`,
    );
  },
});

function indexOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new ClawError("E_USAGE", `${JSON.stringify(text)} is no index of an entry.`);
}

/** Replays of those that are not forgotten. Several run at once, so that they meet in other batches than they were in. */
async function replayAll(
  states: readonly StreamState[],
  archive: Archive,
  settings: ReplaySettings,
): Promise<Replay[]> {
  const results: Replay[] = [];
  const progress = progressLine("Replaying:");
  const model = chooseModel(settings.model);
  for (const group of groups(states)) {
    const [{ statement }] = group;
    await withReplayEngine({ model, statement, settings }, async (generator) => {
      const waiting = [...group];
      const work = async (): Promise<void> => {
        for (let state = waiting.shift(); state !== undefined; state = waiting.shift()) {
          const result = await unlessForgotten(replay(state, { vault: archive.vault, generator }));
          if (result !== undefined) results.push(result);
          progress(results.length / states.length);
        }
      };
      await Promise.all(Array.from({ length: settings.maxBatch }, work));
    });
  }
  return results.sort((a, b) => a.index - b.index);
}

/** Those that one engine can replay: of one model, weight format and KV format. */
function groups(states: readonly StreamState[]): (readonly [StreamState, ...StreamState[]])[] {
  const byEngine = new Map<string, [StreamState, ...StreamState[]]>();
  for (const state of states) {
    const { model, engine } = state.statement;
    const key = [model.source, model.root, engine.format, engine.kv_format].join(" ");
    const group = byEngine.get(key);
    if (group === undefined) byEngine.set(key, [state]);
    else group.push(state);
  }
  return [...byEngine.values()];
}

async function unlessForgotten(work: Promise<Replay>): Promise<Replay | undefined> {
  try {
    return await work;
  } catch (thrown) {
    const error = asClawError(thrown);
    if (error.code === "E_FORGOTTEN") return undefined;
    throw error;
  }
}

/** Chosen by a linear congruential generator (Knuth's MMIX): the same for a seed on every machine. */
function sampleOf(found: readonly number[], { sample, seed }: RangeSettings): number[] {
  const left = [...found];
  const chosen: number[] = [];
  let state = BigInt(seed);
  while (left.length > 0 && chosen.length < sample) {
    state = (state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) & 0xffff_ffff_ffff_ffffn;
    chosen.push(...left.splice(Number((state >> 11n) % BigInt(left.length)), 1));
  }
  return chosen;
}

function forgotten(index: number): ClawError {
  return new ClawError("E_FORGOTTEN", `The prompt of entry ${index} is forgotten.`);
}

function differs({ index, tokens, differsAt }: Replay, count = 1): ClawError {
  const where = differsAt === undefined ? `among its ${tokens} tokens` : `at token ${differsAt} of ${tokens}`;
  const others = count === 1 ? "" : `, and ${count - 1} others do`;
  return new ClawError("E_REPLAY", `Entry ${index} was not replayed: it differs ${where}${others}.`);
}
