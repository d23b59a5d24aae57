export { ENTRY_BYTES_MIN } from "./entry.ts";
export { type LedgerReport, measureLedger } from "./measure.ts";
