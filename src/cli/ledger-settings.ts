/** The options that say where a server's ledger is. */

import { Archive, type DatabaseUrlOptions, databaseUrl } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import { type OptionTable, serveOptions, switchOption, textOption } from "../config/mod.ts";

export interface LedgerSettings extends DatabaseUrlOptions {
  readonly ledger: string | undefined;
  readonly json: boolean;
}

const { ledgerPostgresUrlFile, ledgerPostgresUrlVariable } = serveOptions;

export const ledgerSettings: OptionTable<LedgerSettings> = {
  ledger: textOption({
    flag: "ledger",
    placeholder: "FOLDER",
    meaning: "the server's ledger, as in its `ledger.folder`; it may run meanwhile",
    default: undefined,
  }),
  ledgerPostgresUrlFile,
  ledgerPostgresUrlVariable,
  json: switchOption("json", "print an object"),
};

/** Errors: E_USAGE where no folder is named; those of `Archive.open`. */
export function openArchive(command: string, settings: LedgerSettings): Promise<Archive> {
  const { ledger: folder } = settings;
  if (folder === undefined) throw new ClawError("E_USAGE", `claw ${command} needs --ledger FOLDER.`);
  return Archive.open(folder, databaseUrl(settings));
}
