/** Counts of what ranks exchanged, added up and compared. */

import type { ExchangeCounts } from "./contract.ts";

export const NO_EXCHANGES: ExchangeCounts = { exchanges: 0, messages: 0, bytes: 0, waitedSeconds: 0 };

export function addExchanges(one: ExchangeCounts, other: ExchangeCounts): ExchangeCounts {
  return {
    exchanges: one.exchanges + other.exchanges,
    messages: one.messages + other.messages,
    bytes: one.bytes + other.bytes,
    waitedSeconds: one.waitedSeconds + other.waitedSeconds,
  };
}

/** What came after `before`. */
export function exchangesSince(before: ExchangeCounts, after: ExchangeCounts): ExchangeCounts {
  return {
    exchanges: after.exchanges - before.exchanges,
    messages: after.messages - before.messages,
    bytes: after.bytes - before.bytes,
    waitedSeconds: after.waitedSeconds - before.waitedSeconds,
  };
}
