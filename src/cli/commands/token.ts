/** I/O: `claw token`: capability tokens made, narrowed, looked at and revoked, and the keys they are made with. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import {
  attenuate,
  inspect,
  isRevocationId,
  mint,
  type Rights,
  readGrants,
  type SandboxGrants,
  TokenFolder,
} from "../../capability/mod.ts";
import { stateFolder } from "../../config/folders/mod.ts";
import { textOption, twoColumns } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print, printJson } from "../terminal.ts";
import {
  amountsOf,
  type CommonFlags,
  commonFlags,
  type LimitFlags,
  limitFlags,
  names,
  restrictionsOf,
} from "../token-flags.ts";

interface MintFlags extends CommonFlags, LimitFlags {
  readonly tenant: string | undefined;
  readonly scope: string | undefined;
}

const now = (): number => Math.floor(Date.now() / 1000);

const folderOf = ({ folder }: CommonFlags): TokenFolder =>
  new TokenFolder(folder ?? join(stateFolder(), "tokens"));

/** The token that was typed, or read from standard input for `-`, where other users do not see it. */
const tokenOf = (operand = ""): string => (operand === "-" ? readFileSync(0, "utf8").trim() : operand);

export const tokenMint: Command = defineCommand<MintFlags>({
  name: "token mint",
  summary: "Makes a capability token with the rights that are named, and no others.",
  options: {
    tenant: textOption({
      flag: "tenant",
      placeholder: "NAME",
      pattern: /^[A-Za-z0-9][\w.-]{0,63}$/,
      expected: "a name of 1 to 64 letters, digits, dots, dashes and underscores",
      meaning: "whose it is",
      default: undefined,
    }),
    scope: textOption({
      flag: "scope",
      placeholder: "NAME,…",
      pattern: /^(?:metrics|admin)(?:,(?:metrics|admin))?$/,
      expected: "metrics, admin or both with a comma",
      meaning: "opens /metrics, /admin",
      default: undefined,
    }),
    ...limitFlags,
    ...commonFlags,
  },
  run: async (flags) => {
    const folder = folderOf(flags);
    const key = folder.signingKey();
    const token = await mint(key, rightsOf(flags), amountsOf(flags, now()));
    if (!flags.json) return print(`${token}\n`);
    const { revocationIds } = await inspect(token, folder.publicKeys());
    return printJson({ token, keyId: key.id, revocationIds });
  },
});

/** What the file of `--grants` says; undefined without one. Errors: E_FILE, E_PARAMETER. */
function grantsOf({ grants: file }: LimitFlags): SandboxGrants | undefined {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ClawError("E_FILE", `Cannot read the grants in ${file}.`, { cause: error });
  }
  try {
    return readGrants(JSON.parse(text));
  } catch (error) {
    if (error instanceof ClawError) throw error;
    throw new ClawError("E_PARAMETER", `${file} is no JSON.`, { cause: error });
  }
}

/** Errors: E_USAGE where nothing is granted to somebody. */
function rightsOf(flags: MintFlags): Rights {
  const { tenant, scope, model, endpoint, adapter, tool } = flags;
  const models = names(model);
  const sandbox = grantsOf(flags) ?? {};
  if (tenant === undefined) throw new ClawError("E_USAGE", "claw token mint needs --tenant NAME.");
  if (models === undefined && scope === undefined && Object.keys(sandbox).length === 0) {
    throw new ClawError("E_USAGE", "The token would open nothing; name a --model, a --scope or --grants.");
  }
  const scopes = (names(scope) ?? []) as ("metrics" | "admin")[];
  if (models === undefined) return { tenant, scopes, ...sandbox };
  const inference = {
    models,
    endpoints: names(endpoint) ?? ["*"],
    adapters: names(adapter) ?? [],
    tools: names(tool) ?? [],
  };
  return { tenant, scopes, inference: [inference], ...sandbox };
}

export const tokenAttenuate: Command = defineCommand<CommonFlags & LimitFlags>({
  name: "token attenuate",
  operands: "TOKEN|-",
  operandCount: [1, 1],
  summary: "Makes a token that may less out of another; needs no private key.",
  options: { ...limitFlags, ...commonFlags },
  run: async (flags, [operand]) => {
    const keys = folderOf(flags).publicKeys();
    const restrictions = { ...restrictionsOf(flags, now()), sandbox: grantsOf(flags) };
    const token = await attenuate(tokenOf(operand), keys, restrictions);
    if (!flags.json) return print(`${token}\n`);
    return printJson({ token, revocationIds: (await inspect(token, keys)).revocationIds });
  },
});

export const tokenInspect: Command = defineCommand<CommonFlags>({
  name: "token inspect",
  operands: "TOKEN|-",
  operandCount: [1, 1],
  summary: "Verifies a token and prints what each of its blocks says.",
  options: commonFlags,
  run: async (flags, [operand]) => {
    const folder = folderOf(flags);
    const { blocks, revocationIds } = await inspect(tokenOf(operand), folder.publicKeys());
    const revoked = folder.revoked();
    const described = blocks.map((datalog, block) => {
      const id = revocationIds[block] ?? "";
      return { block, revocationId: id, revoked: revoked.has(id), datalog };
    });
    if (flags.json) return printJson({ blocks: described });
    const texts = described.map(
      ({ block, revocationId, revoked: gone, datalog }) =>
        `Block ${block}, revocation id ${revocationId}${gone ? ", revoked" : ""}:\n${datalog}`,
    );
    return print(`${texts.join("\n")}\n`);
  },
});

export const tokenRevoke: Command = defineCommand<CommonFlags>({
  name: "token revoke",
  operands: "TOKEN|ID|-",
  operandCount: [1, 1],
  summary: "Ends a token and all that were made out of it, also the answers that run.",
  options: commonFlags,
  run: async (flags, [operand]) => {
    const folder = folderOf(flags);
    const given = tokenOf(operand);
    const id = isRevocationId(given)
      ? given
      : (await inspect(given, folder.publicKeys())).revocationIds.at(-1);
    folder.revoke([id ?? ""]);
    return flags.json ? printJson({ revoked: id }) : print(`Revoked ${id}.\n`);
  },
});

export const tokenKeys: Command = defineCommand<CommonFlags>({
  name: "token keys",
  operands: "list|rotate|remove [ID]",
  operandCount: [1, 2],
  summary: "Lists the root keys of tokens, makes a new one to sign with, or removes one with all its tokens.",
  options: commonFlags,
  run: async (flags, [action, operand]) => {
    const folder = folderOf(flags);
    const wanted = action === "remove" ? /^\d{1,9}$/.test(operand ?? "") : operand === undefined;
    if (!wanted || !["list", "rotate", "remove"].includes(action ?? "")) {
      throw new ClawError(
        "E_USAGE",
        "claw token keys takes list, rotate, or remove and the number of a key.",
      );
    }
    if (action === "rotate") await folder.rotate();
    if (action === "remove") folder.remove(Number(operand));
    const keys = folder.publicKeys();
    if (flags.json) return printJson({ folder: folder.path, keys });
    const rows = keys.map(({ id, publicKey }) => [String(id), publicKey] as const);
    return print(`${folder.path}: ${keys.length} keys\n${rows.length === 0 ? "" : `${twoColumns(rows)}\n`}`);
  },
});
