/** `claw model export`: writes a model's file anew, in another type. */

import { ClawError } from "../../base/mod.ts";
import { choiceOption, switchOption, textOption } from "../../config/mod.ts";
import { type ExportType, exportModel, exportTypes, readModel, STORY_TEMPLATE } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print } from "../terminal.ts";

interface ExportSettings {
  readonly type: ExportType;
  readonly name: string | undefined;
  readonly story: boolean;
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
    out: textOption({ flag: "out", placeholder: "FILE", meaning: "the file to write", default: undefined }),
  },
  run: async ({ type, name, story, out }, [path = ""]) => {
    if (out === undefined) throw new ClawError("E_USAGE", "claw model export needs --out FILE.");
    const read = readModel(path);
    const description = { ...read.description, name: name ?? read.description.name };
    const chatTemplate = story ? STORY_TEMPLATE : read.chatTemplate;
    exportModel(out, { ...read, description, chatTemplate }, type);
    await print(`${out} holds ${description.name} as ${type}.\n`);
  },
});
