/** I/O: the processes of ranks that run on this node. A rank that crashes takes nothing with it. */

import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { ClawError } from "../../base/mod.ts";
import { Fence } from "../membership/mod.ts";
import type { FetchProgress } from "../slices/mod.ts";
import { type HolderEpoch, holderOf } from "./epoch.ts";
import { FetchLines } from "./fetch-line.ts";
import { END_LOOK_MS, RANK_PROCESSES_MAX } from "./limits.ts";

/** Which rank, and for which epoch of the work. */
export interface RankPlace {
  readonly epoch: number;
  readonly rank: number;
}

interface RunningRank extends RankPlace {
  readonly process: ChildProcess;
}

export interface RankProcessesOptions {
  /** What starts `claw`, before its arguments. */
  readonly command: readonly string[];
  /** Told whenever one began or ended. */
  readonly onChange: (running: readonly RankPlace[]) => void;
  /** Told how far a rank's slice is fetched. */
  readonly onFetch: (place: RankPlace, progress: FetchProgress) => void;
}

export class RankProcesses {
  readonly #options: RankProcessesOptions;
  readonly #fence = new Fence();
  readonly #running = new Set<RunningRank>();

  constructor(options: RankProcessesOptions) {
    this.#options = options;
  }

  get running(): readonly RankPlace[] {
    return [...this.#running].map(({ epoch, rank }) => ({ epoch, rank }));
  }

  /**
   * Starts a process for a rank and tells it `terms` on its standard input. Ranks of an older holder of the lease end. E_NODE where
   * the epoch is older than one that was seen, the rank runs already, or there are too many.
   */
  start({ epoch, rank }: RankPlace, terms: string): void {
    const { newest } = this.#fence;
    if (!this.#fence.admit(epoch)) {
      throw new ClawError("E_NODE", `A rank of epoch ${epoch} was to be started; ${newest} was seen since.`);
    }
    this.fence(holderOf(epoch));
    if ([...this.#running].some((known) => known.epoch === epoch && known.rank === rank)) {
      throw new ClawError("E_NODE", `Rank ${rank} of epoch ${epoch} runs already.`);
    }
    if (this.#running.size >= RANK_PROCESSES_MAX) {
      throw new ClawError("E_NODE", `${this.#running.size} ranks run on this node; there can be no more.`);
    }
    const [program = "", ...before] = this.#options.command;
    const child = spawn(program, [...before, "node", "rank"], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = new FetchLines((progress) => this.#options.onFetch({ epoch, rank }, progress));
    child.stdout.setEncoding("utf8").on("data", (text: string) => lines.add(text));
    const running = { epoch, rank, process: child };
    const gone = (): void => {
      if (this.#running.delete(running)) this.#tell();
    };
    child.once("exit", gone);
    child.once("error", gone);
    child.stdin.on("error", () => {}); // it ended before it read, which is noticed above
    child.stdin.end(terms);
    this.#running.add(running);
    this.#tell();
  }

  /** Ends ranks that work for an older holder of the lease than this one. */
  fence(holder: HolderEpoch): void {
    this.#kill(({ epoch }) => holderOf(epoch) < holder);
  }

  /** Ends the ranks of an epoch, after they had so long to end by themselves; resolves when they are gone. */
  end(epoch: number, patienceMs: number): Promise<void> {
    return this.#end((place) => place.epoch === epoch, patienceMs);
  }

  /** Resolves when none runs any more. */
  close(): Promise<void> {
    return this.#end(() => true, 0);
  }

  async #end(which: (place: RankPlace) => boolean, patienceMs: number): Promise<void> {
    const ended = (): boolean => ![...this.#running].some(which);
    const patience = AbortSignal.timeout(patienceMs);
    while (!ended() && !patience.aborted) await sleep(END_LOOK_MS);
    this.#kill(which);
    while (!ended()) await sleep(END_LOOK_MS);
  }

  #kill(which: (place: RankPlace) => boolean): void {
    // A rank keeps nothing that could be lost.
    for (const rank of this.#running) if (which(rank)) rank.process.kill("SIGKILL");
  }

  #tell(): void {
    this.#options.onChange(this.running);
  }
}
