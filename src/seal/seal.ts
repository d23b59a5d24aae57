/** I/O: sealing a model file, and verifying what a seal says. */

import { createPublicKey, type KeyObject } from "node:crypto";
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { ClawError } from "../base/mod.ts";
import { compareSeals, type ModelSeal, measureSeal } from "../model/mod.ts";
import { openBundle, refused, signBundle } from "./bundle.ts";
import { bundlePath, checkFiles, fileDigest, readBundle } from "./files.ts";
import { readStatement, type Statement, statementOf } from "./statement.ts";

type Progress = (fraction: number) => void;

/** A key by the name that the configuration gives it. */
export interface NamedKey {
  readonly name: string;
  readonly key: KeyObject;
}

/** Measures a model, signs what it is, and writes the bundle. Errors: E_FILE, E_KEY, those of a model that cannot be run. */
export async function sealModel(
  model: string,
  key: KeyObject,
  options: { readonly out?: string | undefined; readonly onProgress?: Progress },
): Promise<{ readonly seal: ModelSeal; readonly bundle: string }> {
  const [seal, digest] = await Promise.all([measureSeal(model, options.onProgress), fileDigest(model)]);
  const bundle = options.out ?? bundlePath(model);
  const text = signBundle(statementOf(basename(model), digest, seal), key);
  // What was signed is what verification would find: nothing else is handed out.
  readStatement(openBundle(text, [{ key: createPublicKey(key) }]).statement);
  try {
    writeFileSync(bundle, text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot write the seal ${bundle}: ${reason}.`, { cause: error });
  }
  return { seal, bundle };
}

export interface SignedStatement extends Statement {
  /** The name of the key that signed it. */
  readonly signedBy: string;
}

/** Reads a model's bundle and checks its signature, not yet the model. Errors: E_UNSEALED, E_SEAL, E_FILE. */
export function readSeal(
  model: string,
  keys: readonly NamedKey[],
  bundle: string = bundlePath(model),
): SignedStatement {
  const text = readBundle(bundle);
  if (text === undefined) throw new ClawError("E_UNSEALED", `${model} has no seal: there is no ${bundle}.`);
  const { statement, by } = openBundle(text, keys);
  return { ...readStatement(statement), signedBy: by.name };
}

/**
 * Checks a model against what was signed: by the root where the bundle has one, which covers every byte and uses all cores, else file
 * by file. Errors: E_ALTERED, E_FILE, E_SEAL.
 */
export async function verifyModel(
  model: string,
  statement: SignedStatement,
  options: { readonly ignored?: readonly string[]; readonly onProgress?: Progress } = {},
): Promise<void> {
  const { seal, resources } = statement;
  if (seal === undefined) await checkFiles(model, statement, options.ignored ?? []);
  else if (resources.length !== 1 || resources[0]?.name !== ".") throw refused("its root is not of one file");
  else compareSeals(await measureSeal(model, options.onProgress), seal);
}
