/** I/O: files that seals are about, and bundles themselves. */

import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { ClawError } from "../base/mod.ts";
import { contentDigest } from "../model/mod.ts";
import { refused } from "./bundle.ts";
import { BUNDLE_BYTES_MAX, RESOURCES_MAX } from "./limits.ts";
import type { Statement } from "./statement.ts";

/** Where a model's bundle lies unless told. */
export function bundlePath(model: string): string {
  return `${model}.sig`;
}

/** A bundle's text; undefined where there is none. Errors: E_SEAL when it is too large, E_FILE. */
export function readBundle(path: string): string | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const { size } = fstatSync(descriptor);
    if (size > BUNDLE_BYTES_MAX) throw refused(`it has ${size} bytes, more than ${BUNDLE_BYTES_MAX}`);
    const bytes = Buffer.alloc(size);
    return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, size, 0));
  } catch (error) {
    if (error instanceof ClawError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot read the seal ${path}: ${reason}.`, { cause: error });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** SHA-256 of a file in hexadecimal. Errors: E_FILE. */
export async function fileDigest(path: string): Promise<string> {
  try {
    return await contentDigest(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot read ${path}: ${reason}.`, { cause: error });
  }
}

/**
 * Checks a model's files against the resources of a statement: all of them, and no others but those that are ignored.
 * Errors: E_ALTERED, E_FILE.
 */
export async function checkFiles(
  model: string,
  statement: Statement,
  ignored: readonly string[],
): Promise<void> {
  const passedOver = new Set([...statement.ignored, ...ignored]);
  const present = statSync(model).isDirectory() ? filesBelow(model, passedOver) : ["."];
  const names = new Set(statement.resources.map(({ name }) => name));
  const extra = present.find((name) => !names.has(name));
  if (extra !== undefined) throw altered(`${extra} is not part of what was sealed`);
  for (const { name, digest } of statement.resources) {
    if (!present.includes(name)) throw altered(`${name} is missing`);
    const found = await fileDigest(name === "." ? model : join(model, name));
    if (found !== digest) throw altered(`${name} differs`);
  }
}

function filesBelow(folder: string, ignored: ReadonlySet<string>): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const name = relative(folder, join(entry.parentPath, entry.name));
    if (name.split("/").some((_, i, parts) => ignored.has(parts.slice(0, i + 1).join("/")))) continue;
    if (entry.isSymbolicLink()) throw altered(`${name} is a symbolic link`);
    if (entry.isFile()) found.push(name);
    if (found.length > RESOURCES_MAX) throw altered(`it has more than ${RESOURCES_MAX} files`);
  }
  return found.sort();
}

function altered(reason: string): ClawError {
  return new ClawError("E_ALTERED", `The model is not the one that was sealed: ${reason}.`);
}
