/** `claw bench serve`: a load of requests against the real server, and against llama.cpp. */

import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import {
  type BacklogReport,
  LOAD_DEFAULTS,
  type LoadProgress,
  measureBacklog,
  measureRecording,
  measureServing,
  RECORDING_ROUNDS,
  type RecordingReport,
  type ServingReport,
} from "../../bench/mod.ts";
import { cacheFolder } from "../../config/folders/mod.ts";
import {
  choiceOption,
  deviceOptions,
  MAX_BATCH_MAX,
  modelOptions,
  numberOption,
  switchOption,
  textOption,
  twoColumns,
} from "../../config/mod.ts";
import { type PresetName, presetNames } from "../../model/mod.ts";
import { describeMachine, givenFlags, RECORD, record } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { readMachine } from "../machine.ts";
import { figure } from "../numbers.ts";
import { backlogFigures, recordingFigures, servingFigures } from "../serving-figures.ts";
import { liveLine, print, printJson, progressLine } from "../terminal.ts";

interface ServeBenchSettings {
  readonly scenario: "load" | "backlog" | "ledger";
  readonly url: string | undefined;
  readonly keyFile: string | undefined;
  readonly model: string | undefined;
  readonly preset: PresetName | undefined;
  readonly format: "f16" | "i8" | "i4";
  readonly threads: number | undefined;
  readonly batch: number | undefined;
  readonly concurrency: number | undefined;
  readonly rate: number | undefined;
  readonly requests: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly seed: number;
  readonly rounds: number | undefined;
  readonly peer: "llama.cpp" | undefined;
  readonly json: boolean;
  readonly record: boolean;
}

const PRESET_DEFAULT: PresetName = "llama-1b";
const REQUESTS_MAX = 1_000_000;
const CONCURRENCY_MAX = 10_000;
const TOKENS_MAX = 100_000;
const RATE_MAX = 100_000;
const ROUNDS_MAX = 1000;

export const benchServe: Command = defineCommand<ServeBenchSettings>({
  name: "bench serve",
  summary: "Sends a load of requests to a server and measures speed, latencies and occupancy.",
  options: {
    scenario: choiceOption({
      flag: "scenario",
      meaning:
        "a load of mixed requests; streams beside a backlog of long prompts; or a load with and without a ledger",
      choices: ["load", "backlog", "ledger"],
      default: "load",
    }),
    url: textOption({
      flag: "url",
      placeholder: "URL",
      meaning: "a server that runs already",
      default: undefined,
      otherwise: "one is started",
    }),
    keyFile: textOption({
      flag: "key-file",
      placeholder: "FILE",
      meaning: "holds the API key of that server",
      default: undefined,
      otherwise: "none",
    }),
    model: { ...modelOptions.model, meaning: "a GGUF model to serve", otherwise: undefined },
    preset: choiceOption({
      flag: "preset",
      meaning: "a model with random weights to serve",
      choices: presetNames,
      default: undefined,
      otherwise: PRESET_DEFAULT,
    }),
    format: deviceOptions.format,
    threads: deviceOptions.threads,
    batch: numberOption({
      flag: "batch",
      meaning: "sequences that run together, in our server and in llama.cpp",
      range: [1, MAX_BATCH_MAX],
      default: undefined,
      otherwise: `${LOAD_DEFAULTS.concurrency}`,
    }),
    concurrency: numberOption({
      flag: "concurrency",
      meaning: "requests in flight",
      range: [1, CONCURRENCY_MAX],
      default: undefined,
      otherwise: `${LOAD_DEFAULTS.concurrency}`,
    }),
    rate: numberOption({
      flag: "rate",
      meaning: "requests per second, as a Poisson process, however many are in flight",
      range: [0.001, RATE_MAX],
      whole: false,
      default: undefined,
      otherwise: "as others end",
    }),
    requests: numberOption({
      flag: "requests",
      meaning: "requests in all",
      range: [1, REQUESTS_MAX],
      default: LOAD_DEFAULTS.requests,
    }),
    promptTokens: numberOption({
      flag: "prompt-tokens",
      meaning: "mean length of prompts",
      range: [1, TOKENS_MAX],
      default: LOAD_DEFAULTS.length,
    }),
    outputTokens: numberOption({
      flag: "output-tokens",
      meaning: "mean length of answers",
      range: [1, TOKENS_MAX],
      default: LOAD_DEFAULTS.length,
    }),
    seed: numberOption({
      flag: "seed",
      meaning: "the same seed gives the same load",
      range: [0, Number.MAX_SAFE_INTEGER],
      default: 0,
    }),
    rounds: numberOption({
      flag: "rounds",
      meaning: "parts of the load that are sent with the ledger on and off by turns",
      range: [1, ROUNDS_MAX],
      default: undefined,
      otherwise: `${RECORDING_ROUNDS}`,
    }),
    peer: choiceOption({
      flag: "peer",
      meaning: "what takes turns with the server",
      choices: ["llama.cpp"],
      default: undefined,
      otherwise: "nothing",
    }),
    json: switchOption("json", "print an object"),
    record: switchOption("record", `write the figures to ${RECORD}, too`),
  },
  run: async (settings) => {
    checkSettings(settings);
    const { scenario, preset, keyFile, batch, concurrency, rounds, peer } = settings;
    const options = {
      ...settings,
      apiKey: keyFile === undefined ? undefined : readText(keyFile).trim(),
      preset: preset ?? PRESET_DEFAULT,
      folder: join(cacheFolder(), "bench"),
      batch: batch ?? LOAD_DEFAULTS.concurrency,
      concurrency: concurrency ?? LOAD_DEFAULTS.concurrency,
      peer: peer !== undefined,
      onProgress: progressLine,
      onLoad: showLoad(),
    };
    if (scenario === "backlog") {
      const report = await measureBacklog(options);
      return show(report, backlogFigures(report), settings);
    }
    if (scenario === "ledger") {
      const report = await measureRecording({ ...options, rounds: rounds ?? RECORDING_ROUNDS });
      return show(report, recordingFigures(report), settings);
    }
    const report = await measureServing(options);
    return show(report, servingFigures(report), settings);
  },
});

/** Errors: E_USAGE for what does not go together. */
function checkSettings(settings: ServeBenchSettings): void {
  const { scenario, url, rate, concurrency, model, preset, peer, keyFile, rounds } = settings;
  const refuse = (what: string): never => {
    throw new ClawError("E_USAGE", `claw bench serve takes ${what}.`);
  };
  if (rate !== undefined && concurrency !== undefined) refuse("--rate or --concurrency, not both");
  if (model !== undefined && preset !== undefined) refuse("--model or --preset, not both");
  if (url === undefined && keyFile !== undefined) refuse("--key-file with --url only");
  const own = model ?? preset ?? peer;
  if (url !== undefined && own !== undefined) refuse("--url without --model, --preset and --peer");
  if (scenario === "backlog" && (url ?? peer ?? rate ?? concurrency) !== undefined) {
    refuse("--scenario backlog without --url, --peer, --rate and --concurrency");
  }
  if (scenario === "ledger" && (url ?? peer) !== undefined) {
    refuse("--scenario ledger without --url and --peer");
  }
  if (scenario !== "ledger" && rounds !== undefined) refuse("--rounds with --scenario ledger only");
}

/** A line that shows how the load is going; only to a person. */
function showLoad(): (progress: LoadProgress) => void {
  const show = liveLine();
  return ({ done, requests, tokensPerSecond, running, waiting, timeToFirstTokenMs }) => {
    const first = timeToFirstTokenMs === null ? "" : `, first token p50 ${figure(timeToFirstTokenMs.p50)} ms`;
    const speed = `${figure(tokensPerSecond)} tokens/s`;
    show(
      `${done}/${requests} requests, ${speed}, ${running} running, ${waiting} waiting${first}`,
      done === requests,
    );
  };
}

function show(
  report: ServingReport | BacklogReport | RecordingReport,
  figures: readonly (readonly [string, string])[],
  settings: ServeBenchSettings,
): Promise<void> {
  if (settings.record) record(report, { figures, commandLine: commandLine(settings) });
  const machine = describeMachine();
  if (settings.json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
  return print(`${twoColumns([["Machine", machine], ...figures])}\n`);
}

/** The command that repeats the measurement. */
function commandLine(settings: ServeBenchSettings): string {
  const { scenario, preset, model, format, threads, batch, concurrency, rate, requests, seed, peer, rounds } =
    settings;
  const source = model === undefined ? { preset: preset ?? PRESET_DEFAULT } : { model };
  if (scenario === "backlog") {
    return `./claw bench serve ${givenFlags({ scenario, ...source, format, threads, batch })}`;
  }
  const lengths = { "prompt-tokens": settings.promptTokens, "output-tokens": settings.outputTokens };
  const load = { batch, concurrency, rate, requests, ...lengths, seed, rounds, peer };
  const which = scenario === "ledger" ? { scenario } : {};
  return `./claw bench serve ${givenFlags({ ...which, ...source, format, threads, ...load })}`;
}
