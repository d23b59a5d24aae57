/** I/O: the oracle's command line; one JSON object on stdout, everything else on stderr. See README.md. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { divergence } from "./divergence.mjs";
import { quantize, score } from "./native.mjs";
import { describe, generate, loadModel, openContext, startLlama, tokenize } from "./peer.mjs";

// The most exact llama.cpp has: f32 keys and values, and no flash attention, which sums in f16 on the CPU.
const exact = { threads: "2", flash: "off", kv: "f32" };

const commands = {
  info: async () => describe(await startLlama()),
  tokenize: tokenizeCommand,
  generate: generateCommand,
  logits: logitsCommand,
  perplexity: perplexityCommand,
  quantize: quantizeCommand,
  kl: (options) => divergence(need(options, "base"), need(options, "other"), needNumber(options, "vocab")),
};

async function tokenizeCommand(options) {
  const model = await loadModel(await startLlama(), need(options, "model"), { vocabOnly: true });
  const special = !options["no-special"];
  const rules = { addSpecial: special, parseSpecial: special && !options["plain-text"] };
  if (options.texts !== undefined) {
    return { ids: readJson(options.texts).map((text) => tokenize(model, text, rules)) };
  }
  const text = options["text-file"] ? readFileSync(options["text-file"], "utf8") : need(options, "text");
  return { ids: tokenize(model, text, rules) };
}

async function generateCommand(options) {
  const maxTokens = needNumber(options, "max-tokens");
  const model = await loadModel(await startLlama(), need(options, "model"));
  const prompt = tokenize(model, need(options, "prompt"), { addSpecial: true, parseSpecial: true });
  const contextSize = prompt.length + maxTokens;
  const { sequences } = await openContext(model, { contextSize, ...evaluationOptions(options) });
  const ids = await generate(sequences[0], prompt, maxTokens);
  return { prompt, ids, text: model.detokenize(ids, false, prompt) };
}

function logitsCommand(options) {
  const tokens = readTokens(options);
  const from = options.from === undefined ? 0 : needNumber(options, "from");
  if (from >= tokens.length) throw new Error(`--from ${from} is past the last of ${tokens.length} tokens.`);
  const range = { window: tokens.length, from, to: tokens.length };
  const { rows, vocab } = score(need(options, "model"), tokens, {
    ...range,
    out: need(options, "out"),
    ...evaluationOptions(options),
  });
  return { rows, vocab, from };
}

function perplexityCommand(options) {
  const tokens = readTokens(options);
  const window = needNumber(options, "window");
  if (window < 4 || window > tokens.length) {
    throw new Error(`--window ${window} does not fit: give 4 to ${tokens.length}, the number of tokens.`);
  }
  const from = Math.floor(window / 2);
  const range = { window, from, to: window - 1, bos: true };
  const settings = { ...range, out: options.out, lora: options.lora, ...evaluationOptions(options) };
  const { windows, vocab, count, nll } = score(need(options, "model"), tokens, settings);
  return { perplexity: Math.exp(nll / count), nll, count, windows, vocab };
}

function quantizeCommand(options) {
  const [model, out, type] = ["model", "out", "type"].map((name) => need(options, name));
  const mixture = options.pure ? "pure" : "usual";
  return {
    type,
    mixture,
    ...quantize({ model, out, type, mixture, threads: needNumber(options, "threads") }),
  };
}

function evaluationOptions(options) {
  const { flash, kv } = options;
  if (!["auto", "on", "off"].includes(flash)) throw new Error(`--flash ${flash} is not auto, on or off.`);
  if (!["f16", "f32"].includes(kv)) throw new Error(`--kv ${kv} is not f16 or f32.`);
  return { threads: needNumber(options, "threads"), flash, kv };
}

function need(options, name) {
  if (options[name] === undefined) throw new Error(`--${name} is missing.`);
  return options[name];
}

function needNumber(options, name) {
  const value = Number(need(options, name));
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`--${name} ${options[name]} is not a whole number.`);
  return value;
}

function readTokens(options) {
  const tokens = readJson(need(options, "tokens-file"));
  const valid = Array.isArray(tokens) && tokens.length > 0 && tokens.every(Number.isInteger);
  if (!valid) throw new Error(`${options["tokens-file"]} is not a JSON array of token ids.`);
  return tokens;
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function parseCommandLine() {
  const strings =
    "model text text-file texts prompt max-tokens tokens-file out lora from window base other vocab type";
  const options = {
    ...Object.fromEntries(strings.split(" ").map((name) => [name, { type: "string" }])),
    ...Object.fromEntries(
      Object.entries(exact).map(([name, value]) => [name, { type: "string", default: value }]),
    ),
    "no-special": { type: "boolean" },
    "plain-text": { type: "boolean" },
    pure: { type: "boolean" },
  };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const command = Object.hasOwn(commands, positionals[0] ?? "") ? commands[positionals[0]] : undefined;
  if (!command || positionals.length !== 1)
    throw new Error(`Give one of: ${Object.keys(commands).join(", ")}.`);
  return { command, values };
}

try {
  const { command, values } = parseCommandLine();
  process.stdout.write(`${JSON.stringify(await command(values))}\n`, () => process.exit(0));
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
