/** I/O: a placement over processes of this machine, one for each rank: starts them, joins them, and ends them. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { at, ClawError } from "../../base/mod.ts";
import type { EngineSettings } from "../../engine/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import type { OpenedFile } from "../../model/mod.ts";
import {
  engineSocket,
  type NodeReport,
  type NodeTask,
  receiveHello,
  sendTask,
  withinTime,
} from "./joining.ts";
import { END_MS } from "./limits.ts";
import { type PlacedRuntime, type PlacedRuntimeOptions, planRanks } from "./placed-runtime.ts";
import { SocketListener } from "./socket-link.ts";
import { receiveReport } from "./step-message.ts";

export interface NodesOptions extends PlacedRuntimeOptions {
  /** What starts `claw`, before its arguments. */
  readonly command: readonly string[];
  readonly device: EngineSettings["device"];
  /** Compute threads of each rank. */
  readonly threads: number;
}

export interface NodesRuntime extends PlacedRuntime {
  /** By rank. */
  readonly reports: readonly NodeReport[];
  readonly processes: readonly ChildProcess[];
}

/** Starts a process for every rank. E_PLACEMENT, E_LINK, and what loading refuses. */
export async function startNodes(model: OpenedFile, options: NodesOptions): Promise<NodesRuntime> {
  const { programs, sizes, join: joinRanks } = planRanks(model.description, options);
  const folder = mkdtempSync(join(tmpdir(), "claw-ranks-"));
  const listener = await SocketListener.open(engineSocket(folder));
  const processes = programs.map(({ rank }) => startProcess(options.command, folder, rank));
  const end = async (): Promise<void> => {
    listener.close();
    await Promise.all(processes.map(ended));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const links = await Promise.race([joined(listener, programs.length), ...processes.map(diedEarly)]);
    const { format, placement, device, threads } = options;
    const task: NodeTask = { model: model.source.name, format, placement, sizes, device, threads };
    const started = links.map((link) => startRank(link, task));
    const reports = await Promise.all(started);
    return { ...joinRanks(links, end), reports, processes };
  } catch (error) {
    for (const process of processes) process.kill("SIGKILL");
    await end();
    throw error;
  }
}

function startProcess(command: readonly string[], folder: string, rank: number): ChildProcess {
  const [program = "", ...before] = command;
  const own = ["node", "rank", "--join", folder, "--rank", String(rank)];
  return spawn(program, [...before, ...own], { stdio: ["ignore", "ignore", "inherit"] });
}

async function startRank(link: RankLink, task: NodeTask): Promise<NodeReport> {
  await sendTask(link, task);
  return (await receiveReport(link)) as NodeReport;
}

/** The links to all ranks, in their order. */
async function joined(listener: SocketListener, count: number): Promise<RankLink[]> {
  const links = new Map<number, RankLink>();
  const missing = new Set(Array.from({ length: count }, (_, rank) => rank));
  while (missing.size > 0) {
    const link = await withinTime(listener.accept(), "start");
    const rank = await receiveHello(link, missing);
    missing.delete(rank);
    links.set(rank, link);
  }
  return Array.from({ length: count }, (_, rank) => links.get(rank) as RankLink);
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
