/** Receipts from a log that runs. */

import { ClawError } from "../base/mod.ts";
import { formatProof, parseCheckpoint, parseNote } from "../crypto/mod.ts";
import { inclusionProof, type Log } from "../ledger/mod.ts";
import { type Entry, makeReceipt, type Opening, parseEntry, type Receipt } from "../records/mod.ts";
import type { Vault } from "./vault.ts";

interface ReceiptSources {
  /** Whose entry it must be. */
  readonly tenant: string;
  readonly log: Log;
  readonly vault: Vault;
  /** A checkpoint over an entry that witnesses cosigned, where there is one. */
  readonly witnessed: (index: number) => string | undefined;
}

/** Errors: E_NOT_FOUND for an entry that is not there, or not this tenant's; E_LEDGER. */
export async function receiptOf(
  index: number,
  { tenant, log, vault, witnessed }: ReceiptSources,
): Promise<Receipt> {
  if (!Number.isSafeInteger(index) || index < 0 || index >= log.size) throw notFound(index);
  const [bytes] = await log.entries(index, index + 1);
  if (bytes === undefined) throw notFound(index);
  const entry = parseEntry(bytes);
  // A progress entry says not whose it is; the close entry after it says more.
  if (entry.kind === "progress" || entry.tenant !== tenant) throw notFound(index);
  if (index >= log.checkpoint.size) await log.publish();
  const checkpoint = witnessed(index) ?? log.signedCheckpoint;
  const { size } = parseCheckpoint(parseNote(checkpoint).text);
  const hashes = await inclusionProof(index, size, (name) => log.tile(name));
  return makeReceipt(bytes, formatProof({ index, hashes, checkpoint }), await openingOf(entry, vault));
}

/** What opens the entry's commitments; undefined where it is forgotten. */
async function openingOf({ kind, stream }: Entry, vault: Vault): Promise<Opening | undefined> {
  const [asked, answered] = await Promise.all([vault.get(stream, "open"), vault.get(stream, "close")]);
  if (asked === undefined) return undefined;
  const { salt, outputSalt, prompt } = asked;
  const opening = { prompt: { salt, tokens: prompt } };
  if (answered === undefined || kind !== "close") return opening;
  return { ...opening, output: { salt: outputSalt, tokens: answered.tokens } };
}

function notFound(index: number): ClawError {
  return new ClawError("E_NOT_FOUND", `There is no receipt ${index} here.`);
}
