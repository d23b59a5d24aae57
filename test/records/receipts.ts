/** Receipts of a small log, one of which opens to its tokens. */

import { join } from "node:path";
import { formatProof, NOTE_KEY, noteVerifier, toHex } from "../../src/crypto/mod.ts";
import {
  FileStorage,
  FolderDisk,
  inclusionProof,
  Log,
  readOrMakeKey,
  type SigningKey,
  signingKey,
} from "../../src/ledger/mod.ts";
import {
  type CloseEntry,
  commitment,
  encodeEntry,
  makeReceipt,
  type Opening,
  type Receipt,
  RunningHash,
} from "../../src/records/mod.ts";
import { close, open, progress } from "./entry.ts";

const salts = { prompt: new Uint8Array(32).fill(1), output: new Uint8Array(32).fill(2) };
export const opening: Opening = {
  prompt: { salt: toHex(salts.prompt), tokens: [5, 6, 7] },
  output: { salt: toHex(salts.output), tokens: [9, 8] },
};

function committed(): CloseEntry {
  const running = new RunningHash(salts.output);
  running.push(9);
  running.push(8);
  return {
    ...close,
    prompt: { commitment: toHex(commitment(salts.prompt, [5, 6, 7])), tokens: 3 },
    tokens: 2,
    running: toHex(running.value),
    output: toHex(commitment(salts.output, [9, 8])),
  };
}

const entries = [encodeEntry(open), encodeEntry(progress), encodeEntry(committed())];

export interface Made {
  readonly key: SigningKey;
  readonly receipts: readonly Receipt[];
  readonly log: Log;
}

/** A log in `folder` of an entry of each kind; the log `fork` begins with another. */
export async function makeLog(folder: string, name: string, key?: SigningKey): Promise<Made> {
  const signer =
    key ??
    signingKey(readOrMakeKey(join(folder, `${name}.pem`), NOTE_KEY.ED25519), {
      name: `ledger.example/${name}`,
      type: NOTE_KEY.ED25519,
      now: () => 0,
    });
  const disk = new FolderDisk(join(folder, name));
  const log = await Log.open({
    storage: new FileStorage(disk),
    origin: signer.name,
    signers: [signer],
    verifiers: [noteVerifier(signer.vkey)],
  });
  const own =
    name === "fork" ? [encodeEntry({ ...open, request: "<b>another</b>" }), ...entries.slice(1)] : entries;
  for (const entry of own) await log.add(entry);
  await log.publish();
  const receipts = await Promise.all(
    own.map(async (entry, index) => {
      const hashes = await inclusionProof(index, log.checkpoint.size, (tile) => log.tile(tile));
      const proof = formatProof({ index, hashes, checkpoint: log.signedCheckpoint });
      return makeReceipt(entry, proof, index === 2 ? opening : undefined);
    }),
  );
  await disk.close();
  return { key: signer, receipts, log };
}

interface Altered {
  readonly what: string;
  readonly receipt: string;
  /** The code that our verifiers refuse it with. */
  readonly code: string;
}

/** A receipt of a close entry that opens to its tokens, altered in each of its parts, in ways that JSON allows. */
export function alteredReceipts(receipt: Receipt): Altered[] {
  const altered = (what: string, code: string, change: Partial<Receipt>): Altered => ({
    what,
    code,
    receipt: JSON.stringify({ ...receipt, ...change }),
  });
  const entry = (from: RegExp, to: string): string =>
    Buffer.from(Buffer.from(receipt.entry, "base64").toString().replace(from, to)).toString("base64");
  const proof = (from: RegExp, to: (found: string) => string): string => receipt.proof.replace(from, to);
  const other = (base64: string): string => (base64.startsWith("A") ? "B" : "A") + base64.slice(1);
  const { prompt, output } = receipt.opening ?? opening;
  const [first = 0, ...rest] = output?.tokens ?? [];
  const answer = (change: object): Opening => ({
    prompt,
    output: { salt: "", tokens: [], ...output, ...change },
  });
  return [
    altered("another number in the entry", "E_PROOF", { entry: entry(/"seed":\d+/, '"seed":77') }),
    altered("a space in the entry", "E_ENTRY", { entry: entry(/:/, ": ") }),
    altered("another place", "E_PROOF", {
      proof: proof(/(?<=\nindex )\d+/, (index) => String(Number(index) - 1)),
    }),
    altered("another hash of the proof", "E_PROOF", { proof: proof(/(?<=\nindex \d+\n).+/, other) }),
    altered("another size", "E_NOTE", {
      proof: proof(/(?<=\n\n\S+\n)\d+/, (size) => String(Number(size) + 1)),
    }),
    altered("another root", "E_NOTE", { proof: proof(/(?<=\n\n\S+\n\d+\n).+/, other) }),
    altered("another signature", "E_NOTE", {
      proof: proof(/(?<=\u2014 \S+ .{20}).+/, other),
    }),
    altered("another prompt", "E_RECEIPT", {
      opening: { ...answer({}), prompt: { ...prompt, tokens: [1] } },
    }),
    altered("another answer", "E_RECEIPT", { opening: answer({ tokens: [first + 1, ...rest] }) }),
    altered("a shorter answer", "E_RECEIPT", { opening: answer({ tokens: rest }) }),
    altered("another salt", "E_RECEIPT", { opening: answer({ salt: "00".repeat(32) }) }),
  ];
}
