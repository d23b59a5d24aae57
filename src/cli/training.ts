/** I/O: what training asks of the machine: clocks, signals and the terminal. */

import { type Option, textOption } from "../config/mod.ts";
import type { SessionOptions } from "../train/mod.ts";
import { note, progressLine } from "./terminal.ts";

type MachineOptions = Pick<SessionOptions, "clock" | "computed" | "stopped" | "say" | "onProgress">;

const MICROSECONDS = 1e6;
const MILLISECONDS = 1e3;

/** Clocks, signals and the terminal, as a run asks for them. The first signal ends the run after its step. */
export function machine(): MachineOptions {
  let stopped = false;
  const stop = (): void => {
    if (stopped) process.exit(1);
    stopped = true;
    note("Stopping after this step; a second signal stops at once.");
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const lines = new Map<string, (fraction: number) => void>();
  return {
    clock: () => performance.now() / MILLISECONDS,
    computed: () => process.cpuUsage().user / MICROSECONDS,
    stopped: () => stopped,
    say: (line) => note(line),
    onProgress: (stage, fraction) => {
      const line = lines.get(stage) ?? progressLine(stage);
      lines.set(stage, line);
      line(fraction);
    },
  };
}

/** Where a run is kept. */
export const runFolderOption: Option<string | undefined> = textOption({
  flag: "folder",
  placeholder: "FOLDER",
  meaning: "where the run is kept",
  default: undefined,
  otherwise: "train/NAME in the state folder",
});

/** Threads that train where none are named. */
export const THREADS_DEFAULT = 2;
