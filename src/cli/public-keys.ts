/** I/O: public keys on the command line. */

import { existsSync } from "node:fs";
import { readText } from "./files.ts";

/** A key (a C2SP vkey), or those in the file of that name, one a line. Errors: E_FILE. */
export function readPublicKeys(given: string): string[] {
  const text = existsSync(given) ? readText(given) : given;
  return text.split("\n").filter((line) => line.trim() !== "");
}
