/** I/O: a placement over processes of this machine, one for each rank: starts them, joins them, and ends them. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { at, ClawError } from "../../base/mod.ts";
import type { LinkAddress, LinkDriver } from "../../kernels/mod.ts";
import type { OpenedFile, PackedCacheSettings } from "../../model/mod.ts";
import { SECRET_BYTES } from "../link/mod.ts";
import { joinRanks, type RanksOptions, startRanks } from "./joined.ts";
import { type NodeReport, type RankTerms, settingsOf } from "./joining.ts";
import { END_MS } from "./limits.ts";
import { Meeting } from "./meeting.ts";
import { type PlacedRuntime, planRanks } from "./placed-runtime.ts";

export interface NodesOptions extends RanksOptions {
  /** What starts `claw`, before its arguments. */
  readonly command: readonly string[];
  /** Where ranks keep packed weights between starts; undefined: nowhere. */
  readonly packedCache?: PackedCacheSettings | undefined;
  /** Told what ranks write on their standard error; undefined: it goes where this process's own goes. */
  readonly onWords?: ((text: string) => void) | undefined;
  /** What the processes are linked by; undefined: shared memory. */
  readonly driver?: LinkDriver | undefined;
  /** Whether each rank's threads have cores of their own; undefined: where there are enough of them. */
  readonly ownCores?: boolean | undefined;
}

export interface NodesRuntime extends PlacedRuntime {
  /** By rank. */
  readonly reports: readonly NodeReport[];
  readonly processes: readonly ChildProcess[];
}

/** Starts a process for every rank. E_PLACEMENT, E_LINK, E_NATIVE, and what loading refuses. */
export async function startNodes(model: OpenedFile, options: NodesOptions): Promise<NodesRuntime> {
  const plan = planRanks(model.description, options);
  const folder = mkdtempSync(join(tmpdir(), "claw-ranks-"));
  const access = { secret: randomBytes(SECRET_BYTES).toString("hex"), epoch: 0 };
  const places = placesIn(folder, options.driver ?? "shared");
  const processes: ChildProcess[] = [];
  let meeting: Meeting | undefined;
  const end = async (lost: boolean): Promise<void> => {
    // Those that are stopped would never end, and those that wait for one that is gone too late.
    if (lost) for (const process of processes) process.kill("SIGKILL");
    await meeting?.close();
    await Promise.all(processes.map(ended));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    meeting = new Meeting(places("engine"), settingsOf("the engine's process", access));
    const engine = at(meeting.place.addresses, 0);
    const firstCore = coresOf(plan.programs.length, options);
    const { packedCache } = options;
    for (const { rank } of plan.programs) {
      const own = { rank, engine, place: places(`rank-${rank}`), firstCore: firstCore(rank), packedCache };
      processes.push(startProcess({ ...own, ...access }, options));
    }
    const ranks = await Promise.race([joinRanks(meeting, processes.length), ...processes.map(diedEarly)]);
    const reports = await startRanks(model, ranks, options);
    const links = ranks.map(({ link }) => link);
    return { ...plan.join({ links, reports, end }), reports, processes };
  } catch (error) {
    await end(true);
    throw error;
  }
}

/** Where a rank's cores begin, if it has some to itself. */
function coresOf(
  ranks: number,
  { threads, ownCores = ranks * threads <= availableParallelism() }: NodesOptions,
): (rank: number) => number | undefined {
  return (rank) => (ownCores ? rank * threads : undefined);
}

/** Where a process of this name listens. Over TCP each is taken to be a host of its own. */
function placesIn(folder: string, driver: LinkDriver): (name: string) => RankTerms["place"] {
  return (name) => {
    const host = driver === "shared" ? "here" : name;
    const shared: LinkAddress = { driver: "shared", host: join(folder, name), port: 0 };
    return { host, addresses: [driver === "shared" ? shared : { driver, host: "127.0.0.1", port: 0 }] };
  };
}

function startProcess(terms: RankTerms, { command, onWords }: NodesOptions): ChildProcess {
  const [program = "", ...before] = command;
  const words = onWords === undefined ? "inherit" : "pipe";
  const child = spawn(program, [...before, "node", "rank"], { stdio: ["pipe", "ignore", words] });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => onWords?.(text.trim()));
  child.stdin?.on("error", () => {}); // it ended before it read: that is heard of below
  child.stdin?.end(JSON.stringify(terms));
  return child;
}

/** Rejects when a process ends or cannot be started. */
function diedEarly(process: ChildProcess): Promise<never> {
  return new Promise((_, reject) => {
    const died = (how: string): void =>
      reject(new ClawError("E_LINK", `The process ${at(process.spawnargs, 0)} of a rank ${how}.`));
    process.once("error", (error) => died(`cannot be started: ${error.message}`));
    process.once("exit", (code, signal) => died(`ended by ${signal ?? `exit code ${code}`}`));
  });
}

/** Resolves when the process is gone; it is killed when it takes too long. */
async function ended(process: ChildProcess): Promise<void> {
  const gone = new Promise<void>((resolve) => process.once("exit", () => resolve()));
  if (process.pid === undefined || process.exitCode !== null || process.signalCode !== null) return;
  const late = sleep(END_MS, undefined, { ref: false }).then(() => process.kill("SIGKILL"));
  await Promise.race([gone, late]);
  await gone;
}
