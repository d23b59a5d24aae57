/**
 * Receipts: an entry, the proof that the log has it, and, for whoever may know them, the tokens and salts that open the
 * entry's commitments. A receipt is verified with public keys alone, without the server that gave it.
 */

import { ClawError } from "../base/mod.ts";
import {
  type Checkpoint,
  equalBytes,
  fromBase64,
  fromHex,
  leafHash,
  noteVerifier,
  parseProof,
  toBase64,
  toHex,
  verifyProof,
} from "../crypto/mod.ts";
import type { JsonValue } from "./canonical.ts";
import { commitment, RunningHash } from "./commitment.ts";
import { type Entry, parseEntry } from "./entry.ts";
import { checkFields, each, type Field, hex, oneOf, optional, record, text, token } from "./fields.ts";

const FORMAT = "openclaw-receipt/v1";

/** Characters of a receipt: an entry, a proof, and the tokens of a long context. */
export const RECEIPT_CHARACTERS_MAX: number = 16 * 1024 * 1024;
const TOKENS_MAX: number = 1024 * 1024;

/** Tokens with the salt that the entry's commitment to them was made with. */
interface Opened {
  readonly salt: string;
  readonly tokens: readonly number[];
}

export interface Opening {
  readonly prompt: Opened;
  readonly output?: Opened | undefined;
}

export interface Receipt {
  readonly format: typeof FORMAT;
  /** The entry's bytes in base64. */
  readonly entry: string;
  /** C2SP tlog-proof v1. */
  readonly proof: string;
  readonly opening?: Opening | undefined;
}

const opened: Field = record({ salt: hex(32), tokens: each(token, TOKENS_MAX) });

const shape: Field = record({
  format: oneOf(FORMAT),
  entry: text(100_000),
  proof: text(1_048_576),
  opening: optional(record({ prompt: opened, output: optional(opened) })),
});

export function makeReceipt(entry: Uint8Array, proof: string, opening?: Opening): Receipt {
  return { format: FORMAT, entry: toBase64(entry), proof, ...(opening === undefined ? {} : { opening }) };
}

export interface ReceiptPolicy {
  /** Public keys of the log as text (C2SP vkeys), one of which must have signed; the first one's name is the log's. */
  readonly keys: readonly string[];
  /** Public keys of witnesses, and how many of them must have cosigned: all, unless told otherwise. */
  readonly witnesses?: readonly string[] | undefined;
  readonly witnessesMin?: number | undefined;
  /** A checkpoint known from elsewhere: one of the same size with another root shows that the log has forked. */
  readonly known?: Pick<Checkpoint, "size" | "root"> | undefined;
}

export interface VerifiedReceipt {
  readonly index: number;
  /** The leaf hash in hexadecimal. */
  readonly leaf: string;
  readonly entry: Entry;
  /** The log, as of the receipt's checkpoint. */
  readonly log: { readonly origin: string; readonly size: number; readonly root: string };
  /** Names of the known witnesses that cosigned the checkpoint. */
  readonly witnesses: readonly string[];
  /** Whether the prompt's tokens came with it, and are those that the entry commits to. */
  readonly opened: boolean;
  /** The same of the answer's tokens. */
  readonly outputOpened: boolean;
}

/** Errors: E_RECEIPT, E_ENTRY, E_NOTE, E_PROOF; nothing that is returned was taken on trust. */
export function verifyReceipt(receipt: string, policy: ReceiptPolicy): VerifiedReceipt {
  const { entry: encoded, proof: proofText, opening } = readReceipt(receipt);
  const bytes = fromBase64(encoded);
  if (bytes === undefined) throw new ClawError("E_RECEIPT", "The receipt's entry is not base64.");
  const entry = parseEntry(bytes);
  const [leaf, proof] = [leafHash(bytes), parseProof(proofText)];
  const [logKeys, witnesses] = [policy.keys.map(noteVerifier), (policy.witnesses ?? []).map(noteVerifier)];
  const [first] = logKeys;
  if (first === undefined) throw new ClawError("E_NOTE", "A receipt is verified with the log's public key.");
  const proven = verifyProof(proof, leaf, {
    origin: first.name,
    logKeys,
    witnesses,
    witnessesMin: policy.witnessesMin ?? witnesses.length,
  });
  const { origin, size, root, witnesses: witnessed } = proven;
  if (policy.known?.size === size && !equalBytes(policy.known.root, root)) {
    throw new ClawError("E_PROOF", `The log ${origin} has two roots for ${size} entries: it has forked.`);
  }
  if (opening !== undefined) checkOpening(entry, opening);
  const log = { origin, size, root: toHex(root) };
  return {
    index: proof.index,
    leaf: toHex(leaf),
    entry,
    log,
    witnesses: witnessed,
    opened: opening !== undefined,
    outputOpened: opening?.output !== undefined,
  };
}

/** Errors: E_RECEIPT. */
function readReceipt(receipt: string): Receipt {
  if (receipt.length > RECEIPT_CHARACTERS_MAX) {
    throw new ClawError("E_RECEIPT", `The receipt has more than ${RECEIPT_CHARACTERS_MAX} characters.`);
  }
  let value: JsonValue;
  try {
    value = JSON.parse(receipt) as JsonValue;
  } catch (cause) {
    throw new ClawError("E_RECEIPT", "The receipt is not JSON.", { cause });
  }
  checkFields(shape, value, "E_RECEIPT");
  return value as unknown as Receipt;
}

/** Checks that the entry commits to these tokens. Errors: E_RECEIPT. */
function checkOpening(entry: Entry, { prompt, output }: Opening): void {
  if (entry.kind === "progress") throw new ClawError("E_RECEIPT", "A progress entry has nothing to open.");
  if (!commitsTo(entry.prompt.commitment, prompt) || entry.prompt.tokens !== prompt.tokens.length) {
    throw new ClawError("E_RECEIPT", "The prompt's tokens are not those that the entry commits to.");
  }
  if (output === undefined) return;
  if (entry.kind === "open") throw new ClawError("E_RECEIPT", "An open entry says nothing of an output.");
  const running = new RunningHash(bytesOf(output.salt));
  for (const token of output.tokens) running.push(token);
  const same = entry.tokens === running.count && entry.running === toHex(running.value);
  if (!same || !commitsTo(entry.output, output)) {
    throw new ClawError("E_RECEIPT", "The output's tokens are not those that the entry commits to.");
  }
}

function commitsTo(committed: string, { salt, tokens }: Opened): boolean {
  return toHex(commitment(bytesOf(salt), tokens)) === committed;
}

function bytesOf(digits: string): Uint8Array {
  return fromHex(digits) ?? new Uint8Array();
}
