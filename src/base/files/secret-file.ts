/** I/O: files with secrets, made at the first start of whatever needs them. */

import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { ClawError, type ErrorCode } from "../errors.ts";

/** Only this user may read or write it. */
const MODE = 0o600;
const OTHERS = 0o077;

/**
 * Makes a file for its owner alone, durable when this returns; false where one is there already, which stays. Two
 * processes may try at once: neither ever sees half a file. Errors: those of the system.
 */
export function makeSecretFile(path: string, content: () => string | Uint8Array): boolean {
  if (existsSync(path)) return false;
  const draft = `${path}.${randomUUID()}`;
  try {
    withOpen(draft, "wx", (file) => {
      writeFileSync(file, content());
      fsyncSync(file);
    });
    linkSync(draft, path); // unlike a rename, refuses to take another's place
    withOpen(dirname(path), "r", fsyncSync);
    return true;
  } catch (error) {
    if (isThere(error)) return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * The text of a file that only its owner may read. Errors: `code` when it is missing or others may read it; `what` it is
 * begins the message.
 */
export function readSecretFile(path: string, what: string, code: ErrorCode): string {
  try {
    return withOpen(path, "r", (file) => {
      if ((fstatSync(file).mode & OTHERS) === 0) return readFileSync(file, "utf8");
      throw new ClawError(code, `${what} ${path} is open to other users; chmod 600 it.`);
    });
  } catch (cause) {
    if (cause instanceof ClawError) throw cause;
    throw new ClawError(code, `${what} ${path} is missing or cannot be read.`, { cause });
  }
}

function withOpen<T>(path: string, flags: string, use: (descriptor: number) => T): T {
  const descriptor = openSync(path, flags, MODE);
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}
