/** `claw tokenize`: the tokens of a text. */

import { ClawError } from "../../base/mod.ts";
import { type ModelOptions, modelOptions, switchOption, textOption } from "../../config/mod.ts";
import { openModel } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel, readText } from "../files.ts";
import { print, printJson } from "../terminal.ts";

interface TokenizeOptions extends ModelOptions {
  readonly file: string | undefined;
  readonly noSpecial: boolean;
  readonly json: boolean;
}

export const tokenize: Command = defineCommand<TokenizeOptions>({
  name: "tokenize",
  summary: "Prints the tokens of a text: ids and pieces.",
  operands: "[TEXT]",
  operandCount: [0, 1],
  options: {
    ...modelOptions,
    file: textOption({
      flag: "file",
      placeholder: "FILE",
      meaning: "read the text from a file",
      default: undefined,
    }),
    noSpecial: switchOption("no-special", "add no special tokens, and take none from the text"),
    json: switchOption("json", "print an object instead of lines"),
  },
  run: async ({ model, file, noSpecial, json }, [operand]) => {
    if ((file === undefined) === (operand === undefined)) {
      throw new ClawError("E_USAGE", "claw tokenize needs a text or --file FILE, and not both.");
    }
    const text = file === undefined ? (operand ?? "") : readText(file);
    const { tokenizer, close } = openModel(chooseModel(model));
    close();
    const ids = [...tokenizer.encode(text, { addSpecial: !noSpecial, parseSpecial: !noSpecial })];
    const pieces = ids.map((id) => tokenizer.tokenText(id));
    if (json) return printJson({ ids, pieces });
    return print(ids.map((id, index) => `${id}\t${JSON.stringify(pieces[index])}\n`).join(""));
  },
});
