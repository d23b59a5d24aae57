/** Tokens made, narrowed and looked at. */

import { ClawError } from "../base/mod.ts";
import { type Biscuits, loadBiscuit, type Token } from "./biscuit.ts";
import { BLOCKS_MAX, TOKEN_CHARS_MAX } from "./limits.ts";
import { metersOf } from "./meters.ts";
import { type Restrictions, type Rights, restrictionsCode, rightsCode } from "./rights.ts";
import { RootKeys, revocationIdsOf } from "./root-keys.ts";
import type { RootKey } from "./verdict.ts";

export interface SigningKey {
  readonly id: number;
  /** `ed25519-private/` and 64 hexadecimal digits. */
  readonly privateKey: string;
}

/** A token with `rights`, narrowed from the start. Errors: E_PARAMETER. */
export async function mint(
  key: SigningKey,
  rights: Rights,
  restrictions: Restrictions = {},
): Promise<string> {
  return mintWith(await loadBiscuit(), key, { rights, restrictions });
}

interface Minted {
  readonly rights: Rights;
  readonly restrictions: Restrictions;
}

/** The same, with the library at hand. */
export function mintWith(
  { Biscuit, PrivateKey }: Biscuits,
  key: SigningKey,
  { rights, restrictions }: Minted,
): string {
  const builder = Biscuit.builder();
  builder.setRootKeyId(key.id);
  builder.addCode(rightsCode(rights) + restrictionsCode(restrictions, 0));
  return textOf(builder.build(PrivateKey.fromString(key.privateKey)), 0);
}

/** The token with one more block, which holds checks alone; needs public keys only. Errors: E_TOKEN, E_PARAMETER. */
export async function attenuate(
  text: string,
  keys: readonly RootKey[],
  restrictions: Restrictions,
): Promise<string> {
  const biscuits = await loadBiscuit();
  const { token, sources } = new RootKeys(biscuits, keys).verify(text);
  if (sources.length >= BLOCKS_MAX) {
    throw new ClawError(
      "E_PARAMETER",
      `The token has ${sources.length} blocks already, and may not have more.`,
    );
  }
  const code = restrictionsCode(restrictions, sources.length);
  if (code === "") throw new ClawError("E_PARAMETER", "Nothing was said that the token should lose.");
  const block = biscuits.Biscuit.block_builder();
  block.addCode(code);
  return textOf(token.appendBlock(block), sources.length);
}

export interface Inspection {
  readonly revocationIds: readonly string[];
  /** The Datalog of each block. */
  readonly blocks: readonly string[];
}

/** What a token says. Errors: E_TOKEN. */
export async function inspect(text: string, keys: readonly RootKey[]): Promise<Inspection> {
  const { token, sources } = new RootKeys(await loadBiscuit(), keys).verify(text);
  return { revocationIds: revocationIdsOf(token), blocks: sources };
}

/** A token whose block of this number is new, if a server will take it. Errors: E_PARAMETER. */
function textOf(token: Token, block: number): string {
  const text = token.toBase64();
  if (text.length > TOKEN_CHARS_MAX) {
    const most = `${TOKEN_CHARS_MAX} are the most`;
    throw new ClawError("E_PARAMETER", `The token would have ${text.length} letters; ${most}.`);
  }
  try {
    metersOf(token.getBlockSource(block), block);
  } catch (cause) {
    const message =
      "Servers would take a name for a budget: one of the names has a quotation mark, and another the word `spent` or `recent`. " +
      "Give one of them another name, or write a token for each.";
    throw new ClawError("E_PARAMETER", message, { cause });
  }
  return text;
}
