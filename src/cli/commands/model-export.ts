/** `claw model export`: writes a model's file anew, in another type. */

import { basename } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { choiceOption, switchOption, textOption } from "../../config/mod.ts";
import { openModelFile, readAdapter } from "../../model/mod.ts";
import {
  type ExportType,
  exportAdapter,
  exportModel,
  exportTypes,
  mergeAdapter,
  readModel,
  STORY_TEMPLATE,
} from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print } from "../terminal.ts";

interface ExportSettings {
  readonly type: ExportType;
  readonly name: string | undefined;
  readonly story: boolean;
  readonly adapter: string | undefined;
  readonly adapterOnly: boolean;
  readonly out: string | undefined;
}

export const modelExport: Command = defineCommand<ExportSettings>({
  name: "model export",
  summary: "Writes a model anew as a GGUF file that the engine and llama.cpp load.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {
    type: choiceOption({
      flag: "type",
      meaning: "how the file holds matrices",
      choices: exportTypes,
      default: "f16",
    }),
    name: textOption({
      flag: "name",
      placeholder: "NAME",
      meaning: "what the model is called",
      default: undefined,
      otherwise: "its name",
    }),
    story: switchOption("story", "a chat template that goes on with the story so far"),
    adapter: textOption({
      flag: "adapter",
      placeholder: "FOLDER",
      meaning: "an adapter in PEFT's format to add to the model's matrices",
      default: undefined,
    }),
    adapterOnly: switchOption(
      "adapter-only",
      "write the adapter alone, as llama.cpp's --lora takes it, in f32",
    ),
    out: textOption({ flag: "out", placeholder: "FILE", meaning: "the file to write", default: undefined }),
  },
  run: async ({ type, name, story, adapter: folder, adapterOnly, out }, [path = ""]) => {
    if (out === undefined) throw new ClawError("E_USAGE", "claw model export needs --out FILE.");
    if (adapterOnly) return await exportAlone({ folder, name, out }, path);
    const base = readModel(path);
    const read = folder === undefined ? base : mergeAdapter(base, readAdapter(folder, base.description));
    const description = { ...read.description, name: name ?? read.description.name };
    const chatTemplate = story ? STORY_TEMPLATE : read.chatTemplate;
    exportModel(out, { ...read, description, chatTemplate }, type);
    await print(`${out} holds ${description.name} as ${type}.\n`);
  },
});

interface AloneSettings extends Pick<ExportSettings, "name"> {
  readonly folder: string | undefined;
  readonly out: string;
}

async function exportAlone({ folder, name, out }: AloneSettings, path: string): Promise<void> {
  if (folder === undefined) throw new ClawError("E_USAGE", "--adapter-only needs --adapter FOLDER.");
  const model = openModelFile(path);
  try {
    exportAdapter(out, readAdapter(folder, model.description), name ?? basename(folder));
  } finally {
    model.close();
  }
  await print(`${out} holds the adapter ${folder} for ${path}.\n`);
}
