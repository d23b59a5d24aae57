/** I/O: the secret by which this user's packed weights of sealed models are told from anybody else's. */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { makeSecretFile } from "../../base/files/mod.ts";
import { ClawError } from "../../base/mod.ts";
import type { PackedIndex } from "./index-format.ts";

const KEY_BYTES = 32;
const OTHERS = 0o077;

/** The key of a state folder in hexadecimal, made where there is none. Errors: E_STATE_DIR; the caller names what the system refuses. */
export function readOrMakeCacheKey(folder: string): string {
  const file = join(folder, "packed-key");
  makeSecretFile(file, () => `${randomBytes(KEY_BYTES).toString("hex")}\n`);
  const key = readFileSync(file, "utf8").trim();
  if ((statSync(file).mode & OTHERS) === 0 && /^[0-9a-f]{64}$/.test(key)) return key;
  throw new ClawError(
    "E_STATE_DIR",
    `${file} is open to others or holds no key; delete it and a new one is made.`,
  );
}

/** HMAC-SHA-256 over all of an index and the root that it was packed under, in hexadecimal. */
export function indexMac(
  index: Omit<PackedIndex, "mac">,
  { root, key }: { root: string; key: string },
): string {
  const { version, model, digest, identity, format, matrices } = index;
  const said = JSON.stringify([root, version, model, digest, identity, format, matrices]);
  return createHmac("sha256", Buffer.from(key, "hex")).update(said).digest("hex");
}

export function sameMac(a: string, b: string): boolean {
  const [first, second] = [Buffer.from(a, "utf8"), Buffer.from(b, "utf8")];
  return first.length === second.length && timingSafeEqual(first, second);
}
