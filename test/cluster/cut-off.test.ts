/** `npm run test:failover` with ranks that are cut off, on a small scale: streams end with the bytes of those that nobody touched. */

import { spawn } from "node:child_process";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { makeFolder, makeTinyModel, repository } from "../cli/claw.ts";
import { noOwnNetwork } from "./failover/own-network.ts";

const folder = makeFolder();
const why = nativeAvailable() ? noOwnNetwork() : "the native core is missing";

interface Outcome {
  readonly status: number | null;
  readonly report: string;
  readonly words: string;
}

/** The run that `npm run test:failover` starts. */
async function run(...flags: readonly string[]): Promise<Outcome> {
  const script = join(repository, "test/cluster/failover/run.ts");
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(process.execPath, [script, ...flags], { env, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill()); // with its servers, if it has not ended
  const [report, words]: string[][] = [[], []];
  child.stdout.setEncoding("utf8").on("data", (text: string) => report?.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => words?.push(text));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { status, report: report?.join("") ?? "", words: words?.join("") ?? "" };
}

describe.skipIf(why !== undefined)(
  `ranks that are cut off${why === undefined ? "" : ` (skipped: ${why})`}`,
  () => {
    // Ranks and spares are started anew after each fault, which takes a busy machine long.
    test("are missed, replaced and ended, and no stream notices", async () => {
      const model = makeTinyModel(folder);
      const size = ["--streams", "2", "--prompt", "20", "--tokens", "700", "--seconds", "0.2"];
      const serve = ["--context", "1024", "--threads", "2", "--pin-threads", "never"];
      const { status, report, words } = await run(
        ...["--model", model, "--kills", "3", "--partitions"],
        ...[...size, "--", ...serve],
      );
      expect(status, words).toBe(0);
      const found = JSON.parse(report);
      expect(found).toMatchObject({ faults: 3, streamsDifferent: 0, "rank cut off": { faults: 1 } });
      expect(found["rank cut off"].count).toBeGreaterThan(0);
      expect(found.rank_losses_total).toBeGreaterThanOrEqual(3);
      expect(found.recoveries_total).toBe(found.rank_losses_total);
      expect(found.ghosts).toMatchObject({ orphanedRanks: 0 });
      // From the engine's process and from the other rank; and the one that is cut off goes silent as the one that is stopped does.
      expect(words).toMatch(/cut off in 2 connections, had ended/);
      expect(words.match(/Rank \d has said nothing for \d+ ms/g)?.length).toBeGreaterThanOrEqual(2);
    }, 180_000);
  },
);
