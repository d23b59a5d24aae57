/** `claw receipt verify`: checks a receipt with public keys alone; no server and no ledger are needed. */

import { ClawError } from "../../base/mod.ts";
import { numberOption, switchOption, textOption } from "../../config/mod.ts";
import { entryTime, type VerifiedReceipt, verifyReceipt } from "../../records/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readText } from "../files.ts";
import { logKeyOption, readPublicKeys } from "../public-keys.ts";
import { print, printJson } from "../terminal.ts";

interface ReceiptVerifyOptions {
  readonly key: string | undefined;
  readonly witness: string | undefined;
  readonly witnessesNeeded: number | undefined;
  readonly json: boolean;
}

/** More than a note has room for. */
const WITNESSES_NEEDED_MAX = 64;

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
      meaning: "public keys of witnesses, in the same way",
      default: undefined,
    }),
    witnessesNeeded: numberOption({
      flag: "witnesses-needed",
      meaning: "how many of these keys must have cosigned",
      range: [0, WITNESSES_NEEDED_MAX],
      default: undefined,
      otherwise: "all of them",
    }),
    json: switchOption("json", "print an object"),
  },
  run: ({ key, witness, witnessesNeeded, json }, [file = ""]) => {
    if (key === undefined) throw new ClawError("E_USAGE", "claw receipt verify needs --key PUB.");
    const witnesses = witness === undefined ? [] : readPublicKeys(witness);
    const witnessesMin = witnessesNeeded ?? witnesses.length;
    if (witnessesMin > witnesses.length) {
      const message = `--witnesses-needed is ${witnessesMin}, and --witness names ${witnesses.length} keys.`;
      throw new ClawError("E_USAGE", message);
    }
    const policy = { keys: readPublicKeys(key), witnesses, witnessesMin };
    const verified = verifyReceipt(readText(file), policy);
    return json ? printJson(verified) : print(described(verified));
  },
});

function described(verified: VerifiedReceipt): string {
  const { index, leaf, entry, log, opened, outputOpened, witnesses } = verified;
  const of = entry.kind === "progress" ? "" : `, model ${entry.model.root} (${entry.model.source})`;
  const parts = outputOpened ? "prompt's and answer's" : "prompt's";
  const tokens = opened ? `; the ${parts} tokens are those that it commits to` : "";
  return [
    `Entry ${index} is in the log ${log.origin} of ${log.size} entries${tokens}.`,
    `${entry.kind} of stream ${entry.stream}${of}, ${entryTime(entry)}`,
    `leaf hash ${leaf}`,
    ...(witnesses.length === 0 ? [] : [`cosigned by ${witnesses.join(", ")}`]),
    "",
  ].join("\n");
}
