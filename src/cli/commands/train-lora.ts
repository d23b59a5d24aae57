/** `claw train lora`: trains an adapter beside a model, or goes on where the last run stopped. */

import { dirname, join, resolve } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { stateFolder } from "../../config/folders/mod.ts";
import { type DeviceOptions, deviceOptions, textOption } from "../../config/mod.ts";
import { openTraining, parseLoraConfig, trainAdapter } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { note, print } from "../terminal.ts";
import { machine, runFolderOption, THREADS_DEFAULT } from "../training.ts";

interface LoraSettings {
  readonly config: string | undefined;
  readonly base: string | undefined;
  readonly folder: string | undefined;
  readonly threads: number | undefined;
  readonly device: DeviceOptions["device"];
}

export const trainLora: Command = defineCommand<LoraSettings>({
  name: "train lora",
  summary: "Trains an adapter beside a model that stays as it is; a run that was stopped goes on.",
  options: {
    config: textOption({
      flag: "config",
      placeholder: "FILE",
      meaning: "the model, what to train on, and how: JSON, see docs/reference/training.md",
      default: undefined,
    }),
    base: textOption({
      flag: "base",
      placeholder: "FILE",
      meaning: "the model, a GGUF file",
      default: undefined,
      otherwise: "the one that the configuration names",
    }),
    folder: runFolderOption,
    threads: deviceOptions.threads,
    device: deviceOptions.device,
  },
  run: async ({ config: path, base, folder, threads, device: choice }) => {
    if (path === undefined) throw new ClawError("E_USAGE", "claw train lora needs --config FILE.");
    const read = parseLoraConfig(readText(path), path);
    const config = base === undefined ? read : { ...read, base: resolve(base) };
    const kept = folder ?? join(stateFolder(), "train", config.name);
    const { device, warning } = await openTraining({ device: choice, threads: threads ?? THREADS_DEFAULT });
    if (warning !== undefined) note(warning);
    try {
      const run = { config, base: dirname(path), folder: kept, device, ...machine() };
      const { file, before, after } = await trainAdapter(run);
      if (file === undefined)
        return await print(`Stopped; the same command goes on. The run is in ${kept}.\n`);
      if (after !== undefined) await print(change(before, after));
      await print(`Trained: ${file}\n`);
    } finally {
      device.close();
    }
  },
});

function change(before: number, after: number): string {
  const lower = 100 * (1 - after / before);
  const said = lower < 0 ? `${(-lower).toFixed(1)} % higher` : `${lower.toFixed(1)} % lower`;
  return `Perplexity on the held-out text: ${before.toFixed(2)} before, ${after.toFixed(2)} after, ${said}.\n`;
}
