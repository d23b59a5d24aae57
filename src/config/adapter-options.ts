/** Adapters that a model is served with, each under an id of its own. */

import { ADAPTERS_MAX } from "./limits.ts";
import { type OptionTable, recordsOption, textOption } from "./option.ts";

export interface AdapterOptions {
  readonly name: string;
  readonly folder: string;
}

export interface AdaptersOptions {
  readonly adapters: readonly AdapterOptions[];
}

const namePattern = /^[A-Za-z0-9][\w.-]{0,63}$/;

const adapterOptions: OptionTable<AdapterOptions> = {
  // What is missing is a fault of its record.
  name: textOption({
    name: "name",
    placeholder: "NAME",
    pattern: namePattern,
    expected: "a name of 1 to 64 letters, digits, dots, dashes and underscores",
    meaning: "what it is called: the model's id with it is MODEL:NAME",
    default: "",
  }),
  folder: textOption({
    name: "folder",
    placeholder: "FOLDER",
    expected: "a path",
    meaning:
      "folder with `adapter_model.safetensors` and `adapter_config.json`, as PEFT saves them; relative to the configuration file",
    default: "",
  }),
};

export const adaptersOptions: OptionTable<AdaptersOptions> = {
  adapters: recordsOption({
    flag: "adapter",
    name: "adapters",
    meaning: "adapters (LoRA) that requests may name beside the model alone",
    flagMeaning: "an adapter (LoRA) to serve beside the model alone, as MODEL:NAME; may be given again",
    fields: adapterOptions,
    required: ["name", "folder"],
    oneOf: [],
    max: ADAPTERS_MAX,
    spelling: {
      placeholder: "NAME=FOLDER",
      read: (text) => {
        const [, name = "", folder = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
        return namePattern.test(name) ? { name, folder } : undefined;
      },
    },
  }),
};
