/** The options of the ledger that a server keeps. */

import { RETENTION_DAYS_MAX } from "./limits.ts";
import { numberOption, type OptionTable, textOption } from "./option.ts";

export interface LedgerOptions {
  readonly ledgerFolder: string | undefined;
  readonly ledgerName: string;
  readonly ledgerRetentionDays: number | undefined;
}

export const ledgerOptions: OptionTable<LedgerOptions> = {
  ledgerFolder: textOption({
    flag: "ledger",
    name: "ledger.folder",
    placeholder: "FOLDER",
    expected: "a path",
    meaning: "folder of the ledger that every answer is recorded in; one server writes to it",
    default: undefined,
    otherwise: "nothing is recorded",
  }),
  ledgerName: textOption({
    flag: "ledger-name",
    name: "ledger.name",
    placeholder: "NAME",
    pattern: /^[^\s+]+$/u,
    expected: "a name without white space and +",
    meaning: "the ledger's name in its checkpoints and keys; it keeps it for ever",
    default: "openclaw.local/ledger",
  }),
  ledgerRetentionDays: numberOption({
    flag: "ledger-retention-days",
    name: "ledger.retention_days",
    unit: "days",
    meaning: "how long prompts and answers are kept for receipts and replay; the log stays",
    range: [1, RETENTION_DAYS_MAX],
    default: undefined,
    otherwise: "until `claw audit forget`",
  }),
};
