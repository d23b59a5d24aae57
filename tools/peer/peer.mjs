/** I/O: node-llama-cpp on the CPU, for the oracle and for benchmarks. */
import { getLlama, getModuleVersion, LlamaLogLevel } from "node-llama-cpp";

const flashAttention = { auto: "auto", off: false, on: true };

/** llama.cpp from the prebuilt libraries; never builds, never downloads, never looks for a GPU. */
export function startLlama() {
  return getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    // Zero: a context gets exactly the threads it asks for.
    maxThreads: 0,
    logLevel: LlamaLogLevel.warn,
    logger: (level, message) => process.stderr.write(`llama.cpp ${level}: ${message}\n`),
  });
}

export async function describe(llama) {
  return {
    version: await getModuleVersion(),
    llamaCpp: llama.llamaCppRelease,
    buildType: llama.buildType,
    systemInfo: llama.systemInfo,
  };
}

/** `vocabOnly` loads the tokenizer alone, from files without weights too. */
export function loadModel(llama, modelPath, { vocabOnly = false } = {}) {
  return llama.loadModel({ modelPath, vocabOnly, gpuLayers: 0 });
}

/**
 * Contexts of `sequences` independent sequences with `contextSize` tokens each; the first sequence is `sequences[0]`.
 * `flash` is auto, on or off; `kv`, the KV cache's type, is f16 or f32. llama.cpp's own choice is auto and f16.
 */
export async function openContext(
  model,
  { contextSize, sequences = 1, batchSize = 512, threads, flash, kv },
) {
  const type = kv.toUpperCase();
  const context = await model.createContext({
    contextSize,
    sequences,
    batchSize,
    threads: { ideal: threads, min: threads },
    flashAttention: flashAttention[flash],
    experimentalKvCacheKeyType: type,
    experimentalKvCacheValueType: type,
  });
  return { context, sequences: Array.from({ length: sequences }, () => context.getSequence()) };
}

/**
 * Token ids of a text. `addSpecial` puts BOS before and EOS after where the model asks for them;
 * `parseSpecial` reads the names of special tokens in the text as those tokens.
 */
export function tokenize(model, text, { addSpecial, parseSpecial }) {
  const { bos, eos, shouldPrependBosToken, shouldAppendEosToken } = model.tokens;
  const ids = model.tokenize(text, parseSpecial);
  const before = addSpecial && shouldPrependBosToken ? [bos] : [];
  const after = addSpecial && shouldAppendEosToken ? [eos] : [];
  return [...before, ...ids, ...after];
}

/** The greedy continuation, at most `maxTokens` ids, up to and without an end-of-generation token. */
export async function generate(sequence, promptIds, maxTokens) {
  const ids = [];
  if (maxTokens === 0) return ids;
  for await (const id of sequence.evaluate(promptIds, { temperature: 0 })) {
    ids.push(id);
    if (ids.length === maxTokens) break;
  }
  return ids;
}
