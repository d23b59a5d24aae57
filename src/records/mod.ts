export { canonicalJson, parseCanonicalJson } from "./canonical.ts";
export { commitment, RunningHash } from "./commitment.ts";
export {
  type CloseEntry,
  ENTRY_BYTES_MAX,
  type Entry,
  encodeEntry,
  entryTime,
  type OpenEntry,
  type ProgressEntry,
  parseEntry,
  type Statement,
} from "./entry.ts";
export {
  makeReceipt,
  type Opening,
  RECEIPT_CHARACTERS_MAX,
  type Receipt,
  type ReceiptPolicy,
  type VerifiedReceipt,
  verifyReceipt,
} from "./receipt.ts";
