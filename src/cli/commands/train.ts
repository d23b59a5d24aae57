/** `claw train`: trains a model from a configuration file, or goes on where the last run stopped. */

import { dirname, join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { stateFolder } from "../../config/folders/mod.ts";
import { type DeviceOptions, deviceOptions, textOption } from "../../config/mod.ts";
import { openTraining, parseTrainConfig, trainModel } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { note, print } from "../terminal.ts";
import { machine, runFolderOption, THREADS_DEFAULT } from "../training.ts";

interface TrainSettings {
  readonly config: string | undefined;
  readonly folder: string | undefined;
  readonly threads: number | undefined;
  readonly device: DeviceOptions["device"];
}

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
    folder: runFolderOption,
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
