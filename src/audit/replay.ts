/** Replay: what was recorded is computed once more, and every token is compared. */

import { ClawError } from "../base/mod.ts";
import { fromHex, toHex } from "../crypto/mod.ts";
import type { TokenGenerator } from "../engine/mod.ts";
import { ARITHMETIC_VERSION } from "../kernels/mod.ts";
import { commitment, RunningHash } from "../records/mod.ts";
import type { StreamState } from "./archive.ts";
import { requestOf, sha256 } from "./statement.ts";
import type { Vault, Vaulted } from "./vault.ts";

export interface Replay {
  readonly index: number;
  readonly stream: string;
  /** Tokens that the entry covers. */
  readonly tokens: number;
  /** Whether all of them were drawn again, and nothing else. */
  readonly same: boolean;
  /** The first token that differs, where the vault still has the answer. */
  readonly differsAt?: number | undefined;
}

interface ReplayTools {
  readonly vault: Vault;
  readonly generator: TokenGenerator;
}

/** Errors: E_FORGOTTEN; E_LEDGER where the prompt is not what was committed to; E_PARAMETER for another arithmetic; those of the engine. */
export async function replay(state: StreamState, { vault, generator }: ReplayTools): Promise<Replay> {
  const { index, entry, statement } = state;
  checkArithmetic(state);
  const asked = await promptOf(state, vault);
  const running = new RunningHash(bytesOf(asked.outputSalt), sha256);
  const drawn: number[] = [];
  if (entry.tokens > 0) {
    for await (const { token } of generator.generate(requestOf(statement, asked.prompt))) {
      running.push(token);
      drawn.push(token);
      if (drawn.length === entry.tokens) break;
    }
  }
  const same = drawn.length === entry.tokens && toHex(running.value) === entry.running;
  const result = { index, stream: entry.stream, tokens: entry.tokens, same };
  if (same) return result;
  const answered = await vault.get(entry.stream, "close");
  const differsAt = answered?.tokens.findIndex((token, i) => token !== drawn[i]);
  return { ...result, differsAt: differsAt === -1 ? undefined : differsAt };
}

function checkArithmetic({ index, statement }: StreamState): void {
  const { arithmetic } = statement.engine;
  if (arithmetic === ARITHMETIC_VERSION) return;
  throw new ClawError(
    "E_PARAMETER",
    `Entry ${index} was computed with version ${arithmetic} of the arithmetic, and this is ${ARITHMETIC_VERSION}; replay it with that release.`,
  );
}

async function promptOf({ index, entry, statement }: StreamState, vault: Vault): Promise<Vaulted["open"]> {
  const asked = await vault.get(entry.stream, "open");
  if (asked === undefined) {
    throw new ClawError("E_FORGOTTEN", `The prompt of entry ${index} is forgotten; it cannot be replayed.`);
  }
  const committed = toHex(commitment(bytesOf(asked.salt), asked.prompt));
  if (committed === statement.prompt.commitment) return asked;
  throw new ClawError("E_LEDGER", `The vault's prompt is not the one that entry ${index} commits to.`);
}

function bytesOf(digits: string): Uint8Array {
  return fromHex(digits) ?? new Uint8Array();
}
