/** I/O: loading: processes that import a model, and processes that find it packed, from their start to their first token. */

import { spawn } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ClawError } from "../base/mod.ts";
import { measurePeaks } from "../kernels/mod.ts";
import { timed } from "./clock.ts";
import { CONTEXT_SMALL, DECODE_STEPS } from "./limits.ts";
import { LocalModel } from "./local.ts";
import type { BenchOptions, Outcome } from "./report.ts";
import { interleave, medians, type Times } from "./rounds.ts";

const script = fileURLToPath(new URL("../../claw", import.meta.url));

/** What was timed: seconds from the start of a process, but for `import…`, which is loading alone, as the process says. */
type Timed =
  | "import"
  | "importCold"
  /** Until the packed weights were on the disk and the process had ended. */
  | "importKept"
  | "firstStart"
  | "secondStart"
  | "decodePacked"
  | "decodeCached";

export async function measureLoad(options: BenchOptions, path: string): Promise<Outcome> {
  const { rounds } = options;
  // The user's own cache stays as it is.
  const home = join(options.folder, `load.${process.pid}`);
  try {
    const starts = (await interleave(rounds, () => startRound(options, path, home), undefined)).ours;
    const decoding = await decodeRounds(options, path, home);
    const seconds = medians<Timed>({ ...starts, ...decoding.times } as Times<Timed>);
    const modelBytes = statSync(path).size;
    const rate = (time: number): number => modelBytes / 1e6 / time;
    return {
      ...decoding.device,
      unit: "MB/s imported",
      ours: rate(seconds.import),
      peer: undefined,
      roundSeconds: { ...starts, ...decoding.times },
      details: {
        load: {
          modelBytes,
          importRate: rate(seconds.import),
          importColdRate: rate(seconds.importCold),
          importKeptRate: rate(seconds.importKept),
          firstStartSeconds: seconds.firstStart,
          secondStartSeconds: seconds.secondStart,
          cachedSpeed: seconds.decodePacked / seconds.decodeCached,
        },
        medianSeconds: seconds,
      },
    };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** A first start on a file that the system has not in memory, one on a file it has, and a second start. */
async function startRound(
  options: BenchOptions,
  path: string,
  home: string,
): Promise<Record<Exclude<Timed, "decodePacked" | "decodeCached">, number>> {
  const fresh = (): void => rmSync(join(home, "openclaw", "packed"), { recursive: true, force: true });
  fresh();
  await forgetFile(path);
  const cold = await startOnce(options, path, home);
  fresh();
  const first = await startOnce(options, path, home);
  const second = await startOnce(options, path, home);
  if (second.weights !== "cache") {
    throw new ClawError("E_FILE", `The packed weights of ${path} were not kept in ${home}.`);
  }
  return {
    import: first.loadSeconds,
    importCold: cold.loadSeconds,
    importKept: first.seconds,
    firstStart: first.answerSeconds,
    secondStart: second.answerSeconds,
  };
}

interface ProcessTimes {
  /** Until its first token was here. */
  readonly answerSeconds: number;
  readonly seconds: number;
  readonly loadSeconds: number;
  readonly weights: string;
}

/** A process of its own that says one token. Errors: E_INTERNAL with the process's words. */
function startOnce({ format, threads }: BenchOptions, path: string, home: string): Promise<ProcessTimes> {
  const args = ["run", "Once", "--model", path, "--format", format, "--max-tokens", "1", "--json"];
  const chosen = threads === undefined ? [] : ["--threads", String(threads)];
  const start = performance.now();
  const since = (): number => (performance.now() - start) / 1000;
  const child = spawn(script, [...args, ...chosen, "--temperature", "0", "--device", "native"], {
    env: { ...process.env, XDG_CACHE_HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [said, complaint, answerSeconds] = ["", "", 0];
  child.stdout.on("data", (text) => {
    if (said === "") answerSeconds = since();
    said += text;
  });
  child.stderr.on("data", (text) => {
    complaint += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => {
      if (status !== 0)
        return reject(new ClawError("E_INTERNAL", `A measured start failed: ${complaint.trim()}`));
      const answer = JSON.parse(said) as { weights: string; timings: { load_ms: number } };
      const loadSeconds = answer.timings.load_ms / 1000;
      resolve({ answerSeconds, seconds: since(), loadSeconds, weights: answer.weights });
    });
  });
}

/** Has the system drop a file from memory, as far as it does (GNU dd, `nocache`); where it cannot, the file stays warm. */
function forgetFile(path: string): Promise<void> {
  const child = spawn("dd", [`if=${path}`, "iflag=nocache", "count=0"], { stdio: "ignore" });
  return new Promise((resolve) => {
    child.once("error", () => resolve()).once("close", () => resolve());
  });
}

interface DecodeRounds {
  readonly times: Times<"decodePacked" | "decodeCached">;
  readonly device: Pick<Outcome, "device" | "threads" | "peaks">;
}

/** Decodes by turns from weights that were packed into memory and from those of the second start. */
async function decodeRounds(options: BenchOptions, path: string, home: string): Promise<DecodeRounds> {
  const { format, threads, rounds } = options;
  const onProgress = options.onProgress("Loading the model:");
  const size = { sequences: 1, context: CONTEXT_SMALL, rows: 1 };
  const packed = await LocalModel.open({ path, format, threads, onProgress, ...size });
  const packedFolder = join(home, "openclaw", "packed");
  const cached = await LocalModel.open({ path, format, threads, onProgress, packedFolder, ...size });
  const decode = async (local: LocalModel): Promise<void> => {
    for (let position = CONTEXT_SMALL - DECODE_STEPS; position < CONTEXT_SMALL; position++) {
      await local.decode({ first: 0, count: 1, position });
    }
  };
  for (const local of [packed, cached]) await local.fill(CONTEXT_SMALL);
  const times = await interleave(
    rounds,
    async () => ({ decodePacked: await timed(() => decode(packed)) }),
    async () => ({ decodeCached: await timed(() => decode(cached)) }),
  );
  const { name: device, threads: used } = packed.device;
  const peaks = measurePeaks(used);
  for (const local of [packed, cached]) local.close();
  return {
    times: { ...times.ours, ...(times.peer ?? { decodeCached: [] }) },
    device: { device, threads: used, peaks },
  };
}
