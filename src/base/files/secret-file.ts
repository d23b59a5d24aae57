/** I/O: files with secrets, made at the first start of whatever needs them. */

import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, linkSync, openSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Only this user may read or write it. */
const MODE = 0o600;

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

function withOpen(path: string, flags: string, use: (descriptor: number) => void): void {
  const descriptor = openSync(path, flags, MODE);
  try {
    use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}
