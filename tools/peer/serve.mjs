/**
 * I/O: answers loads of requests through node-llama-cpp, whose own batching lets sequences share steps.
 *
 * Arguments are `name value` pairs: model, threads, sequences, context (positions of each sequence). stdout: a JSON object
 * about llama.cpp when ready; then, for each line of stdin, the outcome of a load. The line is a JSON array of requests:
 * `prompt` (token ids), `outputTokens` (to draw greedily, end tokens included), `arrivalSeconds`. Ends with stdin.
 */
import { createInterface } from "node:readline";
import { describe, loadModel, openContext, startLlama } from "./peer.mjs";

const given = process.argv.slice(2);

function setting(name) {
  const at = given.indexOf(name);
  if (at === -1 || given[at + 1] === undefined) throw new Error(`${name} is missing.`);
  return given[at + 1];
}

/** Every sequence takes the next request when it has none, but none before it arrives. */
async function runLoad(sequences, requests) {
  const start = performance.now();
  const clock = () => performance.now() - start;
  const left = requests.values();
  const outcomes = [];
  await Promise.all(
    sequences.map(async (sequence) => {
      for (const request of left) outcomes.push(await answer(sequence, request, clock));
    }),
  );
  return { seconds: clock() / 1000, requests: outcomes };
}

async function answer(sequence, { prompt, outputTokens, arrivalSeconds }, clock) {
  const sentMs = arrivalSeconds * 1000;
  if (sentMs > clock()) await new Promise((resolve) => setTimeout(resolve, sentMs - clock()));
  const began = arrivalSeconds > 0 ? sentMs : clock();
  const tokenMs = [];
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    tokenMs.push(clock());
    if (tokenMs.length === outputTokens) break;
  }
  await sequence.clearHistory();
  const counts = { promptTokens: prompt.length, outputTokens: tokenMs.length };
  return { ...counts, sentMs: began, tokenMs, endMs: clock() };
}

try {
  const [threads, count, context] = ["threads", "sequences", "context"].map((name) => Number(setting(name)));
  const llama = await startLlama();
  const model = await loadModel(llama, setting("model"));
  // What a user of llama.cpp gets: keys and values in half floats, and flash attention, which is faster in batches.
  const size = { contextSize: context, sequences: count, batchSize: 512 };
  const { sequences } = await openContext(model, { ...size, threads, flash: "on", kv: "f16" });
  process.stdout.write(`${JSON.stringify(await describe(llama))}\n`);
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await runLoad(sequences, JSON.parse(line)))}\n`);
  }
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
