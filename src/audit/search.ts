/** Entries found by what is known of them: the request, the capability token, the time. */

import { join } from "node:path";
import { ClawError } from "../base/mod.ts";
import { type IndexKeys, LedgerIndex } from "../ledger/mod.ts";
import { type Entry, parseEntry } from "../records/mod.ts";
import type { Archive } from "./archive.ts";

/** Where an index lies in the ledger's folder: a cache, made anew where it is missing. */
const INDEX = "index.sqlite";

/** What is known; progress entries name neither request nor token. Times in milliseconds since 1970, `to` is behind the last. */
export type Known =
  | { readonly request: string }
  | { readonly revocation: string }
  | { readonly from: number; readonly to: number };

export interface Found {
  readonly index: number;
  readonly entry: Entry;
}

/** At most 10,000 entries, in the log's order. Errors: E_LEDGER where the log cannot be read or the index not be written. */
export async function findEntries(folder: string, archive: Archive, known: Known): Promise<Found[]> {
  const index = await LedgerIndex.open({ path: join(folder, INDEX), log: archive, keysOf });
  try {
    const found: Found[] = [];
    for (const place of await search(index, known)) {
      found.push({ index: place, entry: await archive.entry(place) });
    }
    return found;
  } finally {
    index.close();
  }
}

function search(index: LedgerIndex, known: Known): Promise<number[]> {
  if ("request" in known) return index.find(known.request);
  if ("revocation" in known) return index.withRevocationId(known.revocation);
  return index.between(known.from, known.to);
}

/** What cannot be read is found by nothing. */
function keysOf(bytes: Uint8Array): IndexKeys {
  try {
    const entry = parseEntry(bytes);
    if (entry.kind === "progress") return { time: entry.time };
    return { requestId: entry.request, time: entry.time, revocationIds: entry.revocations };
  } catch (error) {
    if (error instanceof ClawError) return {};
    throw error;
  }
}
