/**
 * The package's `openclaw/verify`: whether a receipt holds, by public keys alone, in Node and in browsers. What is exported
 * here is a promise to whoever imports it (docs/reference/ledger.md); it needs nothing of the server.
 */

export { ClawError, type ErrorCode } from "../base/mod.ts";
export type {
  CloseEntry,
  Entry,
  OpenEntry,
  ProgressEntry,
  ReceiptPolicy,
  Statement,
  VerifiedReceipt,
} from "../records/mod.ts";
export { publicKeys, verifyReceipt } from "./verify-receipt.ts";
