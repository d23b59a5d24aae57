/** What a ledger's folder holds, against what clients were given. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Archive } from "../../src/audit/mod.ts";
import { leafHash, noteVerifier, toHex } from "../../src/crypto/mod.ts";
import { auditLog, FolderDisk, storedInFiles } from "../../src/ledger/mod.ts";
import { type Entry, encodeEntry } from "../../src/records/mod.ts";
import type { Streamed } from "./stream-clients.ts";

/** Tokens that a client may have been given beyond the last durable entry of its stream: docs/reference/ledger.md. */
const UNCOVERED_MAX = 64;

/** All entries of a ledger that no server writes to. */
export async function entriesOf(folder: string, postgres?: string): Promise<Entry[]> {
  const archive = await Archive.open(folder, postgres);
  const entries: Entry[] = [];
  for (let index = 0; index < archive.size; index++) entries.push(await archive.entry(index));
  return entries;
}

/** What the ledger owes these clients and does not have; nothing if all is well. */
export function missing(entries: readonly Entry[], streams: readonly Streamed[]): string[] {
  const openings = new Map(
    entries.flatMap((entry) => (entry.kind === "open" ? [[entry.request, entry.stream]] : [])),
  );
  const covered = new Map<string, number>();
  for (const entry of entries) covered.set(entry.stream, entry.kind === "open" ? 0 : entry.tokens);
  return streams.flatMap(({ request, tokens, record }) => {
    const faults: string[] = [];
    if (record !== undefined) faults.push(...unkept(entries[record.entry], record, { request, tokens }));
    if (tokens === 0) return faults;
    const stream = openings.get(request);
    if (stream === undefined)
      return [...faults, `${request}: ${tokens} tokens were given, and no entry opens it`];
    const behind = tokens - (covered.get(stream) ?? 0);
    if (behind > UNCOVERED_MAX)
      faults.push(`${request}: ${behind} of ${tokens} tokens given are in no entry`);
    return faults;
  });
}

function unkept(
  entry: Entry | undefined,
  record: NonNullable<Streamed["record"]>,
  { request, tokens }: Pick<Streamed, "request" | "tokens">,
): string[] {
  if (entry?.kind !== "close" || toHex(leafHash(encodeEntry(entry))) !== record.leaf_hash) {
    return [`${request}: entry ${record.entry}, which was acknowledged, is not there`];
  }
  const same = entry.request === request && entry.tokens === tokens;
  return same
    ? []
    : [`${request}: entry ${record.entry} is of ${entry.request}, ${entry.tokens} tokens and not ${tokens}`];
}

/** The whole log, every tile and signature of it; its entries below the checkpoint. */
export async function auditedSize(folder: string): Promise<number> {
  const keys = readFileSync(join(folder, "log.pub"), "utf8").trim().split("\n");
  return (await auditLog(storedInFiles(new FolderDisk(join(folder, "log"))), keys.map(noteVerifier))).size;
}
