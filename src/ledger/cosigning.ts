/** Asking witnesses for their cosignatures on a checkpoint (C2SP tlog-witness, the client's side). */

import { ClawError } from "../base/mod.ts";
import {
  type NoteVerifier,
  openNote,
  parseCheckpoint,
  parseSignatureLine,
  readDecimal,
  toBase64,
} from "../crypto/mod.ts";
import { WITNESS_ANSWER_BYTES_MAX } from "./limits.ts";
import { consistencyProof, type TileReader } from "./proofs.ts";

/** Sends a request body to a witness's `add-checkpoint`. */
export type WitnessCall = (body: string) => Promise<{ readonly status: number; readonly body: string }>;

export interface WitnessPeer {
  readonly verifier: NoteVerifier;
  readonly call: WitnessCall;
}

/** A witness that has moved on meanwhile is asked again, this often at most. */
const TRIES_MAX = 3;

/**
 * The signed checkpoint with the witness's cosignature behind it. `oldSize` is what the witness is believed to know; it
 * says so itself where that is wrong. Errors: E_LEDGER when it does not cosign, E_NOTE when what it sends does not verify.
 */
export async function cosign(
  note: string,
  { verifier, call }: WitnessPeer,
  { oldSize, read }: { readonly oldSize: number; readonly read: TileReader },
): Promise<string> {
  const { size } = parseCheckpoint(note.slice(0, note.indexOf("\n\n") + 1));
  let known = oldSize;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const proof = await consistencyProof(known, size, read);
    const { status, body } = await call(requestBody(known, proof, note));
    if (status === 200) return withCosignature(note, body.slice(0, WITNESS_ANSWER_BYTES_MAX), verifier);
    const size409 = status === 409 ? readDecimal(body.trim()) : undefined;
    if (size409 === undefined || size409 > size) {
      throw new ClawError("E_LEDGER", `The witness ${verifier.name} answered ${status} and did not cosign.`);
    }
    known = size409;
  }
  throw new ClawError("E_LEDGER", `The witness ${verifier.name} changed its mind ${TRIES_MAX} times.`);
}

function requestBody(oldSize: number, proof: readonly Uint8Array[], note: string): string {
  return [`old ${oldSize}`, ...proof.map(toBase64), "", note].join("\n");
}

/** Keeps the lines of this witness, which must verify. */
function withCosignature(note: string, answer: string, verifier: NoteVerifier): string {
  const lines = answer
    .split("\n")
    .filter((line) => line !== "" && parseSignatureLine(line).name === verifier.name);
  const cosigned = `${note}${lines.map((line) => `${line}\n`).join("")}`;
  openNote(cosigned, [verifier]);
  return cosigned;
}
