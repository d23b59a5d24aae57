/** I/O: the API key in its file, made on first start. */

import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClawError } from "../base/mod.ts";

const KEY_BYTES = 32;
const KEY_PREFIX = "claw-";
const KEY_PATTERN = /^claw-[\w-]{43}$/;
/** Only this user may read or write it. */
const FILE_MODE = 0o600;
const OTHERS = 0o077;

export interface ApiKey {
  readonly key: string;
  readonly file: string;
  /** What the operator should know about the file. */
  readonly warning: string | undefined;
}

/** The key of a state folder. Errors: E_STATE_DIR when the file holds no key; the caller names what the system refuses. */
export function readOrMakeApiKey(folder: string): ApiKey {
  const file = join(folder, "api-key");
  if (!existsSync(file)) {
    const key = KEY_PREFIX + randomBytes(KEY_BYTES).toString("base64url");
    // Fails where another start has just made one; the next start reads it.
    writeFileSync(file, `${key}\n`, { mode: FILE_MODE, flag: "wx" });
    return { key, file, warning: undefined };
  }
  const warning = closeToOthers(file);
  const key = readFileSync(file, "utf8").trim();
  if (KEY_PATTERN.test(key)) return { key, file, warning };
  throw new ClawError("E_STATE_DIR", `${file} holds no API key; delete it and a new one is made.`);
}

function closeToOthers(file: string): string | undefined {
  if ((statSync(file).mode & OTHERS) === 0) return undefined;
  chmodSync(file, FILE_MODE);
  return `Other users could read ${file}; now only its owner can. Delete it for a new key if they may have.`;
}
