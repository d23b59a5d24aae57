/** `claw ledger info|keygen|verify`: a ledger's log, looked at without its server; and keys for one. */

import { type DatabaseUrlOptions, databaseUrl, storedLog } from "../../audit/mod.ts";
import {
  choiceOption,
  type OptionTable,
  serveOptions,
  switchOption,
  textOption,
  twoColumns,
} from "../../config/mod.ts";
import { NOTE_KEY, noteVerifier, toHex } from "../../crypto/mod.ts";
import { type AuditedLog, auditLog, makeKey, readCheckpoint, signingKey } from "../../ledger/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { formatCount } from "../numbers.ts";
import { logKeyOption, readPublicKeys } from "../public-keys.ts";
import { print, printJson } from "../terminal.ts";

/** Where the log is: its folder, or with a database its server's folder or its name. */
interface LogSettings extends DatabaseUrlOptions {
  readonly json: boolean;
}

const { ledgerPostgresUrlFile, ledgerPostgresUrlVariable } = serveOptions;
const logSettings: OptionTable<LogSettings> = {
  ledgerPostgresUrlFile,
  ledgerPostgresUrlVariable,
  json: switchOption("json", "print an object"),
};

export const ledgerInfo: Command = defineCommand<LogSettings>({
  name: "ledger info",
  summary: "Shows the last checkpoint of a ledger's log; checks nothing.",
  operands: "FOLDER|NAME",
  operandCount: [1, 1],
  options: logSettings,
  run: async (settings, [place = ""]) => {
    const { origin, size, root } = await readCheckpoint(storedLog(place, databaseUrl(settings)));
    const found = { origin, size, root: toHex(root) };
    if (settings.json) return printJson(found);
    return print(
      `${twoColumns([
        ["Log", origin],
        ["Entries", formatCount(size)],
        ["Root", found.root],
      ])}\n`,
    );
  },
});

interface VerifySettings extends LogSettings {
  readonly key: string | undefined;
}

export const ledgerVerify: Command = defineCommand<VerifySettings>({
  name: "ledger verify",
  summary: "Checks a ledger's whole log without its server: entries, tiles, checkpoint and journal.",
  operands: "FOLDER|NAME",
  operandCount: [1, 1],
  options: {
    ...logSettings,
    key: logKeyOption("the signature is not checked"),
  },
  run: async (settings, [place = ""]) => {
    const keys = settings.key === undefined ? [] : readPublicKeys(settings.key);
    const audited = await auditLog(storedLog(place, databaseUrl(settings)), keys.map(noteVerifier));
    if (settings.json) return printJson({ ...audited, root: toHex(audited.root) });
    return print(described(audited));
  },
});

function described({ origin, size, files, journaled, signedBy }: AuditedLog): string {
  const signed =
    signedBy.length === 0 ? "the signature was not checked: give --key" : `signed by ${signedBy.join(", ")}`;
  return [
    `${origin}: ${formatCount(size)} entries in ${formatCount(files)} tiles and bundles have the root of the checkpoint; ${signed}.`,
    `The journal is whole; ${formatCount(journaled)} of its entries are not in the checkpoint yet.`,
    "",
  ].join("\n");
}

const KEY_TYPES = {
  log: NOTE_KEY.ED25519,
  witness: NOTE_KEY.COSIGNATURE_ED25519,
  "ml-dsa-44": NOTE_KEY.COSIGNATURE_ML_DSA_44,
} as const;

interface KeygenSettings {
  readonly name: string;
  readonly type: keyof typeof KEY_TYPES;
}

export const ledgerKeygen: Command = defineCommand<KeygenSettings>({
  name: "ledger keygen",
  summary: "Makes a private key of a log or a witness and prints its public key.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {
    name: textOption({
      flag: "name",
      placeholder: "NAME",
      meaning: "the key's name: of a log, its origin",
      pattern: /^[^\s+]+$/u,
      expected: "a name without white space and +",
      default: "openclaw.local/ledger",
    }),
    type: choiceOption({
      flag: "type",
      meaning: "log and witness are Ed25519",
      choices: ["log", "witness", "ml-dsa-44"],
      default: "log",
    }),
  },
  run: ({ name, type }, [file = ""]) => {
    const key = makeKey(file, KEY_TYPES[type]);
    return print(`${signingKey(key, { name, type: KEY_TYPES[type], now: () => 0 }).vkey}\n`);
  },
});
