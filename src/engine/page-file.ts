/**
 * I/O: what a copy of a KV page is as a file, and the folder that such files lie in. A file begins with a SHA-256 over its name and what
 * follows: one that was cut short, or changed, is no copy. It is no seal, so the folder has to be its user's alone.
 */

import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";
import { ClawError } from "../base/mod.ts";

export const PAGE_FILE_NAME: RegExp = /^[0-9a-f]{64}\.page$/;
export const PAGE_DIGEST_BYTES = 32;

/** All files of pages end so, and what is not whole yet goes on after it. */
export const PAGE_FILE_SUFFIX = ".page";

/** `identity`: all that pages follow from beside what their keys say. */
export function pageFileName(identity: string, key: string): string {
  return `${createHash("sha256").update(identity).update("\0").update(key).digest("hex")}${PAGE_FILE_SUFFIX}`;
}

/** What a file of this name begins with. */
export function pageDigest(name: string, page: Uint8Array): Uint8Array {
  return createHash("sha256").update(name).update(page).digest();
}

/** The page in a file; undefined where it is not whole, or another's. */
export function pageOf(name: string, file: Uint8Array): Uint8Array | undefined {
  if (file.length < PAGE_DIGEST_BYTES) return undefined;
  const page = new Uint8Array(
    file.buffer,
    file.byteOffset + PAGE_DIGEST_BYTES,
    file.length - PAGE_DIGEST_BYTES,
  );
  return Buffer.compare(pageDigest(name, page), file.subarray(0, PAGE_DIGEST_BYTES)) === 0 ? page : undefined;
}

/** Makes the folder. E_CONFIG where it is not this user's alone. */
export function makePageFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ClawError("E_CONFIG", `The folder for copies of pages, ${folder}, cannot be made.`, {
      cause: error,
    });
  }
  const { uid, mode } = lstatSync(folder);
  const own = process.getuid === undefined || uid === process.getuid();
  if (own && (mode & 0o170077) === 0o040000) return;
  const why = `ranks.copy_folder, ${folder}, has to be a folder that this user alone can enter (chmod 700)`;
  throw new ClawError("E_CONFIG", `${why}: who writes there decides what is answered.`);
}
