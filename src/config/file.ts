/** I/O: the configuration file. */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ClawError } from "../base/mod.ts";
import { faultsError, readDocument } from "./document.ts";
import { CONFIG_BYTES_MAX } from "./limits.ts";
import { type ServeOptions, serveOptions } from "./serve-options.ts";

/** The settings that a file names. Errors: E_FILE when it cannot be read, E_CONFIG when it is not a valid one. */
export function readConfigFile(path: string): Partial<ServeOptions> {
  return readConfigText(readBounded(path), { what: `The configuration ${path}`, folder: dirname(path) });
}

interface Origin {
  /** To begin a sentence with. */
  readonly what: string;
  /** Where the paths in it begin. */
  readonly folder: string;
}

function readConfigText(bytes: Uint8Array, { what, folder }: Origin): Partial<ServeOptions> {
  return readConfig(parse(bytes, what), { what, folder });
}

/** The settings that a document names. Errors: E_CONFIG with every fault. */
export function readConfig(document: unknown, { what, folder }: Origin): Partial<ServeOptions> {
  const { values, faults } = readDocument(serveOptions, document);
  if (faults.length > 0) throw faultsError(what, faults);
  return withFolder(values, folder);
}

/** The document in a file, whatever it says. Errors: E_FILE, E_CONFIG. */
export function readConfigDocument(path: string): unknown {
  return parse(readBounded(path), `The configuration ${path}`);
}

function parse(bytes: Uint8Array, what: string): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ClawError("E_CONFIG", `${what} is not UTF-8 text.`, { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_CONFIG", `${what} is not JSON: ${reason}.`, { cause: error });
  }
}

/** Reads no more than a configuration may have, whatever a path leads to. */
function readBounded(path: string): Uint8Array {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    if (!fstatSync(file).isFile()) throw new Error("it is no regular file");
    const bytes = new Uint8Array(CONFIG_BYTES_MAX + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, length);
    }
    if (length <= CONFIG_BYTES_MAX) return bytes.subarray(0, length);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot read the configuration ${path}: ${reason}.`, { cause: error });
  } finally {
    if (file !== undefined) closeSync(file);
  }
  throw new ClawError("E_CONFIG", `The configuration ${path} has more than ${CONFIG_BYTES_MAX} bytes.`);
}

/** Paths of a document begin where the document lies. */
function withFolder(values: Partial<ServeOptions>, folder: string): Partial<ServeOptions> {
  const { model, adapters, apiKeys, biscuitFolder, ledgerFolder, ledgerPostgresUrlFile } = values;
  const { sealTrust, sealBundle } = values;
  const clusterFiles = ["SecretFile", "CredentialsFile", "TlsCa", "TlsCert", "TlsKey"] as const;
  const at = (path: string): string => resolve(folder, path);
  return {
    ...values,
    ...(model !== undefined && { model: at(model) }),
    ...Object.fromEntries(
      clusterFiles.flatMap((file) => {
        const path = values[`cluster${file}`];
        return path === undefined ? [] : [[`cluster${file}`, at(path)]];
      }),
    ),
    ...(adapters !== undefined && {
      adapters: adapters.map((adapter) => ({ ...adapter, folder: at(adapter.folder) })),
    }),
    ...(biscuitFolder !== undefined && { biscuitFolder: at(biscuitFolder) }),
    ...(sealBundle !== undefined && { sealBundle: at(sealBundle) }),
    ...(sealTrust !== undefined && {
      sealTrust: sealTrust.map((rule) => ({ ...rule, keyFile: at(rule.keyFile) })),
    }),
    ...(ledgerFolder !== undefined && { ledgerFolder: at(ledgerFolder) }),
    ...(ledgerPostgresUrlFile !== undefined && { ledgerPostgresUrlFile: at(ledgerPostgresUrlFile) }),
    ...(apiKeys !== undefined && {
      apiKeys: apiKeys.map((key) => (key.keyFile === undefined ? key : { ...key, keyFile: at(key.keyFile) })),
    }),
  };
}
