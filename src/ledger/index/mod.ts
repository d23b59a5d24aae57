export { type IndexKeys, LedgerIndex } from "./ledger-index.ts";
