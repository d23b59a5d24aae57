/** I/O: public keys on the command line. */

import { existsSync } from "node:fs";
import { type OptionTable, textOption } from "../config/mod.ts";
import { verifierKeys } from "../crypto/mod.ts";
import { readText } from "./files.ts";

/** `--key`: the keys of a log. */
export function logKeyOption(otherwise?: string): OptionTable<{ key: string | undefined }>["key"] {
  return textOption({
    flag: "key",
    placeholder: "PUB",
    meaning: "the log's public key (a C2SP vkey), or a file with one or several, one a line",
    default: undefined,
    ...(otherwise === undefined ? {} : { otherwise }),
  });
}

/** A key (a C2SP vkey), or those in the file of that name, one a line. Errors: E_FILE. */
export function readPublicKeys(given: string): string[] {
  return verifierKeys(existsSync(given) ? readText(given) : given);
}
