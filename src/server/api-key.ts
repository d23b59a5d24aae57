/** I/O: API keys in their files: the owner's, made on first start, and those that the configuration names. */

import { randomBytes } from "node:crypto";
import { chmodSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { makeSecretFile } from "../base/files/mod.ts";
import { ClawError } from "../base/mod.ts";
import { type ApiKeyOptions, PRIORITY_MAX } from "../config/mod.ts";
import { digestOf, type HashedKey } from "./keys.ts";
import { KEY_BYTES_MAX, KEY_LENGTH_MIN } from "./limits.ts";

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
  makeSecretFile(file, () => `${KEY_PREFIX}${randomBytes(KEY_BYTES).toString("base64url")}\n`);
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

/** The key of a state folder as a key of the server: it opens everything. */
export function ownersKey(key: string): HashedKey {
  const caller = {
    tenant: "owner",
    scopes: ["inference", "metrics", "admin"],
    priorityMin: -PRIORITY_MAX,
  } as const;
  return { digest: digestOf(key), caller };
}

/** The keys of a configuration. Errors: E_CONFIG, naming the file that holds no key or is open to others. */
export function readKeys(options: readonly ApiKeyOptions[]): readonly HashedKey[] {
  const keys = options.map(({ tenant, keyFile, keySha256, scopes, priorityMin }) => ({
    digest: keySha256 ?? digestOf(readKeyFile(keyFile ?? "")),
    caller: { tenant, scopes, priorityMin },
  }));
  for (const [index, { digest }] of keys.entries()) {
    const first = keys.findIndex((other) => other.digest === digest);
    if (first === index) continue;
    throw new ClawError("E_CONFIG", `api_keys[${index}] is the same key as api_keys[${first}].`);
  }
  return keys;
}

function readKeyFile(file: string): string {
  let text: string;
  try {
    const { mode, size } = statSync(file);
    if ((mode & OTHERS) !== 0) throw new Error("other users can read it; chmod 600 closes it");
    if (size > KEY_BYTES_MAX) throw new Error(`it has ${size} bytes`);
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_CONFIG", `The API key in ${file} is not taken: ${reason}.`, { cause: error });
  }
  if (text.length >= KEY_LENGTH_MIN && /^\S+$/.test(text)) return text;
  throw new ClawError(
    "E_CONFIG",
    `${file} holds no API key of at least ${KEY_LENGTH_MIN} characters without spaces.`,
  );
}
