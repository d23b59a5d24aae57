/** Verification for callers that no compiler has checked: what they hand in is looked at first. */

import { ClawError } from "../base/mod.ts";
import { verifierKeys } from "../crypto/mod.ts";
import { type ReceiptPolicy, type VerifiedReceipt, verifyReceipt as verify } from "../records/mod.ts";

/** The public keys in a text such as that of a ledger's `log.pub`: one a line. */
export function publicKeys(text: string): string[] {
  if (typeof text !== "string") throw new ClawError("E_NOTE", "The public keys are not a text.");
  return verifierKeys(text);
}

/**
 * Checks a receipt, the text that `GET /v1/receipts/ENTRY` answers with: its entry, its proof, the log's signature, and the
 * tokens that came with it. Nothing in what is returned was taken on trust. Errors: a ClawError with E_RECEIPT (the receipt
 * or its tokens), E_ENTRY (the entry), E_NOTE (a signature or a key), or E_PROOF (the proof, another log, a fork, witnesses).
 */
export function verifyReceipt(receipt: string, policy: ReceiptPolicy): VerifiedReceipt {
  if (typeof receipt !== "string") {
    throw new ClawError("E_RECEIPT", "The receipt is not a text; hand in the JSON as the server sent it.");
  }
  const { keys, witnesses = [], witnessesMin = witnesses.length, known } = policy ?? {};
  if (!isTexts(keys) || !isTexts(witnesses)) {
    throw new ClawError("E_NOTE", "Public keys are not handed in as a list of texts.");
  }
  if (!Number.isSafeInteger(witnessesMin) || witnessesMin < 0) {
    throw new ClawError("E_PROOF", `${witnessesMin} is no number of witnesses.`);
  }
  return verify(receipt, { keys, witnesses, witnessesMin, known });
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
