export { canonicalJson, parseCanonicalJson } from "./canonical.ts";
export { commitment, RunningHash } from "./commitment.ts";
export {
  type CloseEntry,
  ENTRY_BYTES_MAX,
  encodeEntry,
  type OpenEntry,
  type ProgressEntry,
  parseEntry,
} from "./entry.ts";
export {
  makeReceipt,
  type Opening,
  type Receipt,
  type VerifiedReceipt,
  verifyReceipt,
} from "./receipt.ts";
