/**
 * I/O: the ledger of a server: its log, published every PUBLISH_INTERVAL_MS, and its vault. A log that could not be
 * written to is opened again until it can be; meanwhile everything that is to be recorded is refused.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { asClawError, ClawError } from "../base/mod.ts";
import { NOTE_KEY, noteVerifier } from "../crypto/mod.ts";
import {
  FileStorage,
  FolderDisk,
  Log,
  type Placed,
  readOrMakeKey,
  type SigningKey,
  signingKey,
} from "../ledger/mod.ts";
import { parseEntry, type Receipt } from "../records/mod.ts";
import { type LedgerPaths, ledgerPaths } from "./folders.ts";
import { PUBLISH_INTERVAL_MS, REOPEN_INTERVAL_MS, RETENTION_INTERVAL_MS } from "./limits.ts";
import { receiptOf } from "./receipts.ts";
import type { RecordStore } from "./stream-record.ts";
import { type Clocks, Timeline } from "./timeline.ts";
import { Vault, type Vaulted, type VaultPart } from "./vault.ts";
import { readOrMakeVaultKey } from "./vault-key.ts";

const DAY_MS = 86_400_000;
const FOLDER_MODE = 0o700;

export interface LedgerOptions {
  readonly folder: string;
  /** The log's name. */
  readonly origin: string;
  /** How long prompts, answers and salts are kept; undefined: until they are forgotten one by one. */
  readonly retentionDays: number | undefined;
  readonly clocks: Clocks;
  /** Told what the operator should know. */
  readonly onError: (error: ClawError) => void;
}

/** What the metrics say. */
export interface LedgerCounts {
  readonly entries: number;
  readonly published: number;
  /** Entries and vault parts that were refused. */
  readonly failures: number;
  /** Whether the log can be written to. */
  readonly writable: boolean;
}

export class Ledger implements RecordStore {
  readonly timeline: Timeline;
  readonly #options: LedgerOptions;
  readonly #keys: readonly SigningKey[];
  readonly #vault: Vault;
  readonly #stop = new AbortController();
  readonly #timers: readonly NodeJS.Timeout[];
  #log: Log;
  #reopening: Promise<void> | undefined;
  #failures = 0;

  /** Opens the ledger, or begins it. Errors: E_LEDGER, E_NOTE where it was altered, another process has it, or its keys are open to others. */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const paths = ledgerPaths(options.folder);
    makeFolder(options.folder);
    const keys = readKeys(paths, options);
    const vault = new Vault(paths.vault, readOrMakeVaultKey(paths.vaultKey));
    const log = await openLog(options, keys);
    const [last] = log.size === 0 ? [] : await log.entries(log.size - 1, log.size);
    const after = last === undefined ? 0 : parseEntry(last).time;
    return new Ledger(options, { keys, vault, log, timeline: new Timeline(options.clocks, after) });
  }

  private constructor(
    options: LedgerOptions,
    parts: {
      readonly keys: readonly SigningKey[];
      readonly vault: Vault;
      readonly log: Log;
      readonly timeline: Timeline;
    },
  ) {
    this.#options = options;
    this.#keys = parts.keys;
    this.#vault = parts.vault;
    this.#log = parts.log;
    this.timeline = parts.timeline;
    const every = (milliseconds: number, work: () => Promise<void>): NodeJS.Timeout =>
      setInterval(
        () => void work().catch((error) => options.onError(asClawError(error))),
        milliseconds,
      ).unref();
    this.#timers = [
      every(PUBLISH_INTERVAL_MS, () => this.#publish()),
      every(RETENTION_INTERVAL_MS, () => this.#forgetOld()),
    ];
    void this.#forgetOld().catch((error) => options.onError(asClawError(error)));
  }

  /** The log's public keys in text form (C2SP vkeys). */
  get publicKeys(): readonly string[] {
    return this.#keys.map(({ vkey }) => vkey);
  }

  get counts(): LedgerCounts {
    const { size, checkpoint } = this.#log;
    const writable = this.#reopening === undefined;
    return { entries: size, published: checkpoint.size, failures: this.#failures, writable };
  }

  async add(entry: Uint8Array): Promise<Placed> {
    const log = this.#log;
    try {
      return await log.add(entry);
    } catch (thrown) {
      const error = this.#failed(thrown);
      if (error.code === "E_LEDGER") this.#reopen(log, error);
      throw error;
    }
  }

  async put<P extends VaultPart>(stream: string, part: P, value: Vaulted[P]): Promise<void> {
    try {
      await this.#vault.put(stream, part, value);
    } catch (thrown) {
      throw this.#failed(thrown);
    }
  }

  /** The receipt of an entry of this tenant, with what the vault still has. Errors: E_NOT_FOUND, E_LEDGER. */
  receipt(index: number, tenant: string): Promise<Receipt> {
    return receiptOf(index, { tenant, log: this.#log, vault: this.#vault });
  }

  /** Publishes what there is and lets another process write. */
  async close(): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#timers) clearInterval(timer);
    await this.#reopening;
    await this.#log.publish().catch(() => {}); // it is when the log is opened again
    await this.#log.close();
  }

  #failed(thrown: unknown): ClawError {
    this.#failures++;
    return asClawError(thrown);
  }

  async #publish(): Promise<void> {
    if (this.#reopening !== undefined) return;
    await this.#log.publish();
  }

  async #forgetOld(): Promise<void> {
    const { retentionDays, clocks } = this.#options;
    if (retentionDays !== undefined) await this.#vault.forgetBefore(clocks.now() - retentionDays * DAY_MS);
  }

  /** Opens the log again that failed, until it can be written to. */
  #reopen(failed: Log, error: ClawError): void {
    if (this.#reopening !== undefined || this.#log !== failed || this.#stop.signal.aborted) return;
    this.#options.onError(error);
    this.#reopening = this.#openAgain().finally(() => {
      this.#reopening = undefined;
    });
  }

  async #openAgain(): Promise<void> {
    await this.#log.close().catch(() => {});
    for (;;) {
      try {
        await delay(REOPEN_INTERVAL_MS, undefined, { signal: this.#stop.signal });
      } catch {
        return;
      }
      try {
        this.#log = await openLog(this.#options, this.#keys);
        return;
      } catch (thrown) {
        this.#options.onError(asClawError(thrown));
      }
    }
  }
}

function openLog({ folder, origin }: LedgerOptions, signers: readonly SigningKey[]): Promise<Log> {
  const storage = new FileStorage(new FolderDisk(ledgerPaths(folder).log));
  const verifiers = signers.map(({ vkey }) => noteVerifier(vkey));
  return Log.open({ storage, origin, signers, verifiers });
}

function readKeys(paths: LedgerPaths, { origin: name, clocks }: LedgerOptions): SigningKey[] {
  const now = (): number => Math.floor(clocks.now() / 1000);
  const types = [
    [NOTE_KEY.ED25519, paths.logKey],
    [NOTE_KEY.COSIGNATURE_ML_DSA_44, paths.secondLogKey],
  ] as const;
  const keys = types.map(([type, path]) => signingKey(readOrMakeKey(path, type), { name, type, now }));
  try {
    writeFileSync(paths.publicKeys, keys.map(({ vkey }) => `${vkey}\n`).join(""));
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The public keys cannot be written to ${paths.publicKeys}.`, { cause });
  }
  return keys;
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The ledger's folder ${folder} cannot be made.`, { cause });
  }
}
