/** I/O: the URL of the database that keeps a log. It may hold a password, so nothing here repeats it. */

import { env } from "node:process";
import { readSecretFile } from "../base/files/mod.ts";
import { ClawError } from "../base/mod.ts";

/** Where the URL is said; both undefined: there is no database. */
export interface DatabaseUrlOptions {
  readonly ledgerPostgresUrlFile: string | undefined;
  readonly ledgerPostgresUrlVariable: string | undefined;
}

/** Errors: E_CONFIG when it is said twice; E_LEDGER when it is no URL, or others may read its file. */
export function databaseUrl(options: DatabaseUrlOptions): string | undefined {
  const { ledgerPostgresUrlFile: file, ledgerPostgresUrlVariable: variable } = options;
  if (file === undefined && variable === undefined) return undefined;
  if (file !== undefined && variable !== undefined) {
    throw new ClawError("E_CONFIG", "ledger.postgres has both url_file and url_variable; name one of them.");
  }
  const url =
    file === undefined
      ? (env[variable ?? ""] ?? "")
      : readSecretFile(file, "The file of the database's URL", "E_LEDGER").trim();
  if (/^postgres(?:ql)?:\/\//.test(url)) return url;
  const place = file === undefined ? `environment variable ${variable}` : `file ${file}`;
  throw new ClawError("E_LEDGER", `The ${place} holds no URL of the form postgresql://….`);
}
