/** `claw receipt verify`: checks a receipt with public keys alone; no server and no ledger are needed. */

import { ClawError } from "../../base/mod.ts";
import { switchOption, textOption } from "../../config/mod.ts";
import { type VerifiedReceipt, verifyReceipt } from "../../records/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { logKeyOption, readPublicKeys } from "../public-keys.ts";
import { print, printJson } from "../terminal.ts";

interface ReceiptVerifyOptions {
  readonly key: string | undefined;
  readonly witness: string | undefined;
  readonly json: boolean;
}

export const receiptVerify: Command = defineCommand<ReceiptVerifyOptions>({
  name: "receipt verify",
  summary: "Checks offline that an answer's record is in the log that a public key stands for.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {
    key: logKeyOption(),
    witness: textOption({
      flag: "witness",
      placeholder: "PUB",
      meaning: "public keys of witnesses, in the same way; all of them must have cosigned",
      default: undefined,
    }),
    json: switchOption("json", "print an object"),
  },
  run: ({ key, witness, json }, [file = ""]) => {
    if (key === undefined) throw new ClawError("E_USAGE", "claw receipt verify needs --key PUB.");
    const witnesses = witness === undefined ? [] : readPublicKeys(witness);
    const verified = verifyReceipt(readText(file), { keys: readPublicKeys(key), witnesses });
    return json ? printJson(verified) : print(described(verified));
  },
});

function described({ index, leaf, entry, log, opened, outputOpened }: VerifiedReceipt): string {
  const of = entry.kind === "progress" ? "" : `, model ${entry.model.root} (${entry.model.source})`;
  const parts = outputOpened ? "prompt's and answer's" : "prompt's";
  const tokens = opened ? `; the ${parts} tokens are those that it commits to` : "";
  return [
    `Entry ${index} is in the log ${log.origin} of ${log.size} entries${tokens}.`,
    `${entry.kind} of stream ${entry.stream}${of}, ${new Date(entry.time).toISOString()}`,
    `leaf hash ${leaf}`,
    "",
  ].join("\n");
}
