/** I/O: `claw train`: trains a model from a configuration file, or goes on where the last run stopped. */

import { dirname, join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { stateFolder } from "../../config/folders/mod.ts";
import { type DeviceOptions, deviceOptions, textOption } from "../../config/mod.ts";
import { openTraining, parseTrainConfig, type SessionOptions, trainModel } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { note, print, progressLine } from "../terminal.ts";

interface TrainSettings {
  readonly config: string | undefined;
  readonly folder: string | undefined;
  readonly threads: number | undefined;
  readonly device: DeviceOptions["device"];
}

const THREADS_DEFAULT = 2;

export const train: Command = defineCommand<TrainSettings>({
  name: "train",
  summary: "Trains a model from a configuration file; a run that was stopped goes on.",
  options: {
    config: textOption({
      flag: "config",
      placeholder: "FILE",
      meaning: "what to train, on what, and how: JSON, see docs/reference/training.md",
      default: undefined,
    }),
    folder: textOption({
      flag: "folder",
      placeholder: "FOLDER",
      meaning: "where the run is kept",
      default: undefined,
      otherwise: "train/NAME in the state folder",
    }),
    threads: deviceOptions.threads,
    device: deviceOptions.device,
  },
  run: async ({ config: path, folder, threads, device: choice }) => {
    if (path === undefined) throw new ClawError("E_USAGE", "claw train needs --config FILE.");
    const config = parseTrainConfig(readText(path), path);
    const kept = folder ?? join(stateFolder(), "train", config.model.name);
    const { device, warning } = await openTraining({ device: choice, threads: threads ?? THREADS_DEFAULT });
    if (warning !== undefined) note(warning);
    try {
      const { file } = await trainModel({ config, base: dirname(path), folder: kept, device, ...machine() });
      await print(
        file === undefined
          ? `Stopped; the same command goes on. The run is in ${kept}.\n`
          : `Trained: ${file}\n`,
      );
    } finally {
      device.close();
    }
  },
});

type MachineOptions = Pick<SessionOptions, "clock" | "computed" | "stopped" | "say" | "onProgress">;

const MICROSECONDS = 1e6;
const MILLISECONDS = 1e3;

/** Clocks, signals and the terminal, as a run asks for them. The first signal ends the run after its step. */
function machine(): MachineOptions {
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
