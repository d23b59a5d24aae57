/** `claw ledger info|keygen|verify`: a ledger's folder, looked at without its server; and keys for one. */

import { choiceOption, switchOption, textOption, twoColumns } from "../../config/mod.ts";
import { NOTE_KEY, noteVerifier, toHex } from "../../crypto/mod.ts";
import {
  type AuditedLog,
  auditLog,
  FolderDisk,
  makeKey,
  readCheckpoint,
  signingKey,
} from "../../ledger/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { formatCount } from "../numbers.ts";
import { logKeyOption, readPublicKeys } from "../public-keys.ts";
import { print, printJson } from "../terminal.ts";

const json = switchOption("json", "print an object");

export const ledgerInfo: Command = defineCommand<{ readonly json: boolean }>({
  name: "ledger info",
  summary: "Shows the last checkpoint of a ledger's folder; checks nothing.",
  operands: "FOLDER",
  operandCount: [1, 1],
  options: { json },
  run: async (settings, [folder = ""]) => {
    const { origin, size, root } = await readCheckpoint(new FolderDisk(folder));
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

interface VerifySettings {
  readonly key: string | undefined;
  readonly json: boolean;
}

export const ledgerVerify: Command = defineCommand<VerifySettings>({
  name: "ledger verify",
  summary: "Checks a whole ledger's folder offline: entries, tiles, checkpoint and journal.",
  operands: "FOLDER",
  operandCount: [1, 1],
  options: {
    key: logKeyOption("the signature is not checked"),
    json,
  },
  run: async (settings, [folder = ""]) => {
    const keys = settings.key === undefined ? [] : readPublicKeys(settings.key);
    const audited = await auditLog(new FolderDisk(folder), keys.map(noteVerifier));
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
