/** The options of the ledger that a server keeps. */

import { RETENTION_DAYS_MAX, WITNESSES_MAX } from "./limits.ts";
import { numberOption, type OptionTable, recordsOption, textOption } from "./option.ts";

export interface WitnessOptions {
  readonly url: string;
  readonly key: string;
}

export interface LedgerOptions {
  readonly ledgerFolder: string | undefined;
  readonly ledgerName: string;
  readonly ledgerRetentionDays: number | undefined;
  readonly ledgerPostgresUrlFile: string | undefined;
  readonly ledgerPostgresUrlVariable: string | undefined;
  readonly ledgerWitnesses: readonly WitnessOptions[];
}

// What is missing of a witness is a fault of its record.
const witnessOptions: OptionTable<WitnessOptions> = {
  url: textOption({
    name: "url",
    placeholder: "URL",
    pattern: /^https?:\/\/[^\s/]+(?:\/\S*)?$/,
    expected: "a URL that begins with http:// or https://",
    meaning: "where it answers; `/add-checkpoint` is put behind it",
    default: "",
  }),
  key: textOption({
    name: "key",
    placeholder: "PUB",
    pattern: /^[^\s+]+\+[0-9a-f]{8}\+\S+$/u,
    expected: "a public key of the form NAME+ID+BASE64",
    meaning: "the public key that its cosignatures verify with (a C2SP vkey)",
    default: "",
  }),
};

export const ledgerOptions: OptionTable<LedgerOptions> = {
  ledgerFolder: textOption({
    flag: "ledger",
    name: "ledger.folder",
    placeholder: "FOLDER",
    expected: "a path",
    meaning:
      "folder of the ledger that every answer is recorded in, with its keys; one server writes to it, several if the log is in PostgreSQL",
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
  ledgerPostgresUrlFile: textOption({
    flag: "ledger-postgres-url-file",
    name: "ledger.postgres.url_file",
    placeholder: "FILE",
    expected: "a path",
    meaning:
      "file that holds the URL of the PostgreSQL that keeps the log in place of the folder, and only its owner can read",
    default: undefined,
    otherwise: "the log is in the folder",
  }),
  ledgerPostgresUrlVariable: textOption({
    flag: "ledger-postgres-url-variable",
    name: "ledger.postgres.url_variable",
    placeholder: "NAME",
    pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
    expected: "the name of an environment variable",
    meaning: "environment variable that holds that URL, in place of a file",
    default: undefined,
    otherwise: "none",
  }),
  ledgerWitnesses: recordsOption({
    name: "ledger.witnesses",
    meaning: "who is asked to cosign the log's checkpoints; nothing waits for them",
    fields: witnessOptions,
    required: ["url", "key"],
    oneOf: [],
    max: WITNESSES_MAX,
  }),
};
