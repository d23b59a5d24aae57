/**
 * What a model over the nodes of namespaces.sh does: tokens a second beside what was planned, exchanges for each, and the
 * memory that each rank's process has mapped, which is to be its slice and at most 5 % more.
 *
 *   node report.ts --url URL --key FILE --model NAME --tokens N --plan FILE --status FILE NODE=PID...
 *
 * FILEs are what `claw cluster plan --json` and `claw cluster status --json` wrote; PID is the process of `claw node join`.
 */

import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual, parseArgs } from "node:util";

interface Planned {
  readonly plan: unknown;
  readonly prediction: {
    readonly tokensPerSecond: number;
    readonly secondsPerToken: number;
    readonly computeSeconds: number;
    readonly outputSeconds: number;
    readonly exchangeSeconds: number;
    readonly hopSeconds: number;
    readonly messageWaits: number;
    readonly ranks: readonly { readonly node: string; readonly memoryBytes: number }[];
  };
}

interface Status {
  readonly plan: { readonly plan: unknown };
  readonly nodes: readonly { readonly links: readonly MeasuredLink[] }[];
}

interface MeasuredLink {
  readonly between: readonly [string, string];
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

/** What a rank may have mapped beyond what was planned. */
const SLACK = 1.05;
/** Of a mapping: matrices are larger, and V8's own smaller. */
const LARGE_BYTES = 1024 * 1024;
const WARM_UP_TOKENS = 4;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string", default: "" },
    key: { type: "string", default: "" },
    model: { type: "string", default: "" },
    tokens: { type: "string", default: "64" },
    plan: { type: "string", default: "" },
    status: { type: "string", default: "" },
  },
});

const read = <T>(path: string): T => JSON.parse(readFileSync(path, "utf8")) as T;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

function printLinks({ nodes }: Status): void {
  for (const { between, latencySeconds, bytesPerSecond } of nodes.flatMap(({ links }) => links)) {
    const rate = `${((8 * bytesPerSecond) / 1e6).toFixed(0)} Mbit/s`;
    console.log(`${between.join(" to ")}: ${(latencySeconds * 1e3).toFixed(2)} ms one way, ${rate}`);
  }
}

/** Processes whose parent is this one. */
function childrenOf(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        // After the name of the program, which may hold anything: state, parent.
        return readFileSync(`/proc/${name}/stat`, "utf8")
          .replace(/^.*\) . /s, "")
          .startsWith(`${parent} `);
      } catch {
        return false; // it has ended
      }
    })
    .map(Number);
}

/**
 * Resident bytes of the mappings that weights, keys and values and buffers lie in, namely large ones of no file, and of model
 * files. Parts of the JavaScript heap count, too.
 */
function mappedBytes(pid: number): number {
  let bytes = 0;
  let counts = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$/.exec(line);
    if (head !== null) {
      const [, begin = "", end = "", access, file = ""] = head;
      const large = Number.parseInt(end, 16) - Number.parseInt(begin, 16) >= LARGE_BYTES;
      counts = file === "" ? access === "rw-p" && large : file.endsWith(".gguf");
    } else if (counts && line.startsWith("Rss:")) bytes += 1024 * Number.parseInt(line.slice(4), 10);
  }
  return bytes;
}

/** Throws where a rank has mapped more than its slice: weights, and keys and values as far as they were written. */
function checkMemory({ prediction }: Planned): void {
  const pids = new Map(positionals.map((pair) => pair.split("=") as [string, string]));
  for (const { node, memoryBytes } of prediction.ranks) {
    const ranks = childrenOf(Number(pids.get(node)));
    if (ranks.length !== 1) throw new Error(`${node} runs ${ranks.length} ranks; the plan has one there.`);
    // The node's own process is the same program without a slice.
    const mapped = mappedBytes(ranks[0] as number) - mappedBytes(Number(pids.get(node)));
    const share = `${((100 * mapped) / memoryBytes).toFixed(1)} % of its slice of ${megabytes(memoryBytes)}`;
    console.log(`The rank on ${node} has mapped ${megabytes(mapped)}, ${share}`);
    if (mapped > SLACK * memoryBytes) {
      throw new Error(`The rank on ${node} was to map its slice and at most 5 % more.`);
    }
  }
}

/** The sum of a metric's series that have this label. */
async function metric(name: string, label = ""): Promise<number> {
  const text = await (await fetch(`${values.url}/metrics`, { headers: headers() })).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(label));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** Since the server began: steps, their waits for messages between ranks, these messages, and their bytes; seconds in ranks, and in all. */
function counts(): Promise<number[]> {
  const names = [
    "iterations_total",
    "rank_exchanges_total",
    "rank_messages_total",
    "rank_message_bytes_total",
  ];
  const seconds = "claw:step_time_seconds_sum";
  return Promise.all([
    ...names.map((name) => metric(`claw:${name}`)),
    metric(seconds, 'stage="execute"'),
    metric(seconds),
  ]);
}

function headers(): Record<string, string> {
  return {
    authorization: `Bearer ${readFileSync(values.key, "utf8").trim()}`,
    "content-type": "application/json",
  };
}

/** Streams so many tokens; the seconds between two of them, and all of their text. */
async function generate(tokens: number): Promise<{ secondsPerToken: number; text: string }> {
  const body = { model: values.model, prompt: "Once upon a time", max_tokens: tokens, temperature: 0 };
  const response = await fetch(`${values.url}/v1/completions`, {
    method: "POST",
    headers: headers(),
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  });
  if (!response.ok || response.body === null) throw new Error(`${response.status}: ${await response.text()}`);
  let text = "";
  const times: number[] = [];
  let rest = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.filter((data) => data.startsWith("data: {"))) {
      const event = JSON.parse(line.slice(6)) as Event;
      text += event.choices[0]?.text ?? "";
      if (event.choices[0] !== undefined) times.push(performance.now());
      if (event.usage && event.usage.completion_tokens !== tokens) throw new Error("The answer ended early.");
    }
  }
  const span = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000;
  return { secondsPerToken: span / (tokens - 1), text };
}

interface Event {
  readonly choices: readonly { readonly text: string }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

const tokens = Number(values.tokens);
const planned = read<Planned>(values.plan);
const { prediction } = planned;
const status = read<Status>(values.status);
printLinks(status);
console.log(`The plan: ${JSON.stringify(status.plan.plan)}`);
if (!isDeepStrictEqual(status.plan.plan, planned.plan)) {
  throw new Error(`Another one was made for the prediction: ${JSON.stringify(planned.plan)}`);
}
await generate(WARM_UP_TOKENS);
checkMemory(planned);
const before = await counts();
const { secondsPerToken, text } = await generate(tokens);
const [steps = 0, waits = 0, messages = 0, bytes = 0, inRanks = 0, inSteps = 0] = (await counts()).map(
  (count, index) => count - (before[index] ?? 0),
);
console.log(`Text: ${JSON.stringify(text.slice(0, 100))}...`);
console.log(
  `Measured: ${(1 / secondsPerToken).toFixed(3)} tokens/s, ${(1e3 * secondsPerToken).toFixed(1)} ms each`,
);
const predicted = `${prediction.tokensPerSecond.toFixed(3)} tokens/s, ${(1e3 * prediction.secondsPerToken).toFixed(1)} ms each`;
console.log(
  `Predicted: ${predicted}; measured/predicted ${(prediction.secondsPerToken / secondsPerToken).toFixed(3)}`,
);
const ms = (seconds: number): string => `${(1e3 * seconds).toFixed(1)} ms`;
const { computeSeconds, outputSeconds, exchangeSeconds, hopSeconds } = prediction;
console.log(
  `Of these: layers ${ms(computeSeconds)}, output ${ms(outputSeconds)}, exchanges ${ms(exchangeSeconds)}, hops ${ms(hopSeconds)}`,
);
const perStep = (count: number): string => (count / steps).toFixed(2);
console.log(
  `A step: ${perStep(waits)} waits between ranks for ${perStep(messages)} messages of ${perStep(bytes)} bytes, and one round trip to the server;`,
  `planned: ${prediction.messageWaits} waits, the token's way back included`,
);
console.log(
  `Of a step's ${ms(inSteps / steps)}, the prompt's included, ranks and the ways to them take ${ms(inRanks / steps)}`,
);
