/** I/O: durable appends to a real log by clients that each await their acknowledgement, while checkpoints are published. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { NOTE_KEY, noteVerifier } from "../../crypto/mod.ts";
import { FileStorage, Log, readOrMakeKey, signingKey } from "../../ledger/mod.ts";
import { median } from "../rounds.ts";
import { withFolder } from "../scratch.ts";
import { type DiskCeiling, measureDisk } from "./ceiling.ts";
import { CountingDisk } from "./counting-disk.ts";
import { SampleEntries } from "./entry.ts";

export interface LedgerLoad {
  readonly entryBytes: number;
  /** Each sends its next entry when the last one is acknowledged. */
  readonly clients: number;
  /** Of each round. */
  readonly seconds: number;
  readonly rounds: number;
  /** Between one checkpoint and the next. */
  readonly publishMs: number;
  /** Where the log is written; by default below the system's temporary folder. */
  readonly folder: string | undefined;
}

interface LedgerRound {
  readonly entriesPerSecond: number;
  readonly latencyMsP50: number;
  readonly latencyMsP99: number;
  readonly latencyMsMax: number;
  readonly entries: number;
  /** Group commits: one write and one sync of the journal each. */
  readonly commits: number;
  readonly entriesPerCommit: number;
  readonly commitSyncMsP50: number;
  readonly commitSyncMsP99: number;
  readonly checkpoints: number;
  /** Tiles, bundles and checkpoints, each a sync of the file and one of its folder. */
  readonly files: number;
  readonly disk: DiskCeiling;
}

export interface LedgerReport extends Pick<LedgerLoad, "entryBytes" | "clients" | "publishMs">, LedgerRound {
  readonly bench: "ledger";
  /** Syncs of journal, files and folders in the median round. */
  readonly syncs: number;
  readonly rounds: readonly LedgerRound[];
}

const ORIGIN = "bench.example/ledger";

/** The round of median speed, and all of them. Errors: E_LEDGER. */
export async function measureLedger(load: LedgerLoad): Promise<LedgerReport> {
  const rounds: LedgerRound[] = [];
  for (let round = 0; round < load.rounds; round++) {
    rounds.push(await withFolder((folder) => measureRound(folder, load), load.folder));
  }
  const middle = median(rounds.map(({ entriesPerSecond }) => entriesPerSecond));
  const typical = rounds.find(({ entriesPerSecond }) => entriesPerSecond === middle) as LedgerRound;
  const { entryBytes, clients, publishMs } = load;
  const syncs = typical.commits + 2 * typical.files;
  return { bench: "ledger", entryBytes, clients, publishMs, ...typical, syncs, rounds };
}

async function measureRound(folder: string, load: LedgerLoad): Promise<LedgerRound> {
  const ceiling = measureDisk(folder);
  const disk = new CountingDisk(join(folder, "log"));
  const key = signingKey(readOrMakeKey(join(folder, "key"), NOTE_KEY.ED25519), {
    name: ORIGIN,
    type: NOTE_KEY.ED25519,
    now: () => 0,
  });
  const log = await Log.open({
    storage: new FileStorage(disk),
    origin: ORIGIN,
    signers: [key],
    verifiers: [noteVerifier(key.vkey)],
  });
  const before = { commits: disk.commits, files: disk.files };
  disk.syncMs.length = 0;
  const start = performance.now();
  const over = (): boolean => performance.now() - start >= load.seconds * 1000;
  const latencies: number[] = [];
  const samples = new SampleEntries(load.entryBytes);
  const clients = Array.from({ length: load.clients }, (_, client) =>
    appending(log, { load, samples, client, latencies, over }),
  );
  const ended = new AbortController();
  const publisher = publishing(log, load.publishMs, ended.signal);
  await Promise.all(clients);
  const seconds = (performance.now() - start) / 1000;
  ended.abort();
  const checkpoints = await publisher;
  await log.close();
  const commits = disk.commits - before.commits;
  return {
    entriesPerSecond: latencies.length / seconds,
    latencyMsP50: percentile(latencies, 0.5),
    latencyMsP99: percentile(latencies, 0.99),
    latencyMsMax: percentile(latencies, 1),
    entries: latencies.length,
    commits,
    entriesPerCommit: latencies.length / commits,
    commitSyncMsP50: percentile(disk.syncMs, 0.5),
    commitSyncMsP99: percentile(disk.syncMs, 0.99),
    checkpoints,
    files: disk.files - before.files,
    disk: ceiling,
  };
}

interface Client {
  readonly load: LedgerLoad;
  readonly samples: SampleEntries;
  readonly client: number;
  readonly latencies: number[];
  readonly over: () => boolean;
}

async function appending(log: Log, { load, samples, client, latencies, over }: Client): Promise<void> {
  for (let i = 0; !over(); i++) {
    const entry = samples.at(i * load.clients + client);
    const sent = performance.now();
    await log.add(entry);
    latencies.push(performance.now() - sent);
  }
}

async function publishing(log: Log, everyMs: number, ended: AbortSignal): Promise<number> {
  for (let count = 0; ; count++) {
    await sleep(everyMs, undefined, { signal: ended }).catch(() => {});
    if (ended.aborted) return count;
    await log.publish();
  }
}

/** The value that the given share of them does not exceed. */
function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
