/** Tokens made, narrowed and looked at. */

import { ClawError } from "../base/mod.ts";
import { type Biscuits, loadBiscuit } from "./biscuit.ts";
import { BLOCKS_MAX, TOKEN_CHARS_MAX } from "./limits.ts";
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
  return bounded(builder.build(PrivateKey.fromString(key.privateKey)).toBase64());
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
  return bounded(token.appendBlock(block).toBase64());
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

function bounded(token: string): string {
  if (token.length <= TOKEN_CHARS_MAX) return token;
  throw new ClawError(
    "E_PARAMETER",
    `The token has ${token.length} letters; ${TOKEN_CHARS_MAX} are the most.`,
  );
}
