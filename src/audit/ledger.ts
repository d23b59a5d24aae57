/**
 * I/O: the ledger of a server: its log, published every PUBLISH_INTERVAL_MS, and its vault. A log that could not be
 * written to is opened again until it can be; meanwhile everything that is to be recorded is refused.
 */

import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { asClawError, ClawError } from "../base/mod.ts";
import { NOTE_KEY, noteVerifier } from "../crypto/mod.ts";
import { Log, type Placed, readOrMakeKey, type SigningKey, signingKey, witnessCall } from "../ledger/mod.ts";
import { parseEntry, type Receipt } from "../records/mod.ts";
import { type LedgerPaths, ledgerPaths } from "./folders.ts";
import { PUBLISH_INTERVAL_MS, REOPEN_INTERVAL_MS, RETENTION_INTERVAL_MS } from "./limits.ts";
import { checkPlace, type LogPlace, makeFolder, markPlace, storageAt } from "./log-place.ts";
import { receiptOf } from "./receipts.ts";
import type { RecordStore } from "./stream-record.ts";
import { type Clocks, Timeline } from "./timeline.ts";
import { Vault, type Vaulted, type VaultPart } from "./vault.ts";
import { readOrMakeVaultKey } from "./vault-key.ts";
import { type WitnessCounts, Witnesses, type WitnessesOptions } from "./witnesses.ts";

const DAY_MS = 86_400_000;

/** Whom to ask for cosignatures. */
interface WitnessOptions {
  readonly url: string;
  /** Its public key (a C2SP vkey). */
  readonly key: string;
}

export interface LedgerOptions extends LogPlace {
  /** How long prompts, answers and salts are kept; undefined: until they are forgotten one by one. */
  readonly retentionDays: number | undefined;
  readonly clocks: Clocks;
  readonly witnesses: readonly WitnessOptions[];
  /** Told what the operator should know. */
  readonly onError: (error: ClawError) => void;
  readonly onWitness: WitnessesOptions["onChange"];
}

/** What the metrics say. */
export interface LedgerCounts {
  readonly entries: number;
  readonly published: number;
  /** Entries and vault parts that were refused. */
  readonly failures: number;
  /** Whether the log can be written to. */
  readonly writable: boolean;
  /** By the names of their keys. */
  readonly witnesses: Readonly<Record<string, WitnessCounts>>;
}

export class Ledger implements RecordStore {
  readonly timeline: Timeline;
  readonly #options: LedgerOptions;
  readonly #keys: readonly SigningKey[];
  readonly #vault: Vault;
  readonly #witnesses: Witnesses;
  readonly #stop = new AbortController();
  readonly #timers: readonly NodeJS.Timeout[];
  #log: Log;
  #reopening: Promise<void> | undefined;
  /** Why it could not be opened again the last time. */
  #trouble: ClawError | undefined;
  #failures = 0;

  /**
   * Opens the ledger, or begins it. Errors: E_LEDGER, E_LEDGER_UNSAFE, E_NOTE where it was altered, another process has it, its
   * keys are open to others or not those of its log, or a witness's key is none.
   */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const paths = ledgerPaths(options.folder);
    makeFolder(options.folder);
    checkPlace(options);
    for (const { key } of options.witnesses) noteVerifier(key); // a wrong one is said before anything is open
    const keys = readKeys(paths, options);
    const vault = new Vault(paths.vault, readOrMakeVaultKey(paths.vaultKey));
    const log = await openLog(options, keys);
    markPlace(options);
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
    this.#witnesses = this.#openWitnesses();
    this.#witnesses.ask(this.#log.signedCheckpoint);
    const every = (milliseconds: number, work: () => Promise<void>): NodeJS.Timeout =>
      setInterval(
        () => void work().catch((error) => options.onError(asClawError(error))),
        milliseconds,
      ).unref();
    this.#timers = [
      every(PUBLISH_INTERVAL_MS, () => this.#publish()),
      every(RETENTION_INTERVAL_MS, () => this.#forgetOld()),
    ];
    this.#forgetOldNow();
  }

  /** The log's public keys in text form (C2SP vkeys). */
  get publicKeys(): readonly string[] {
    return this.#keys.map(({ vkey }) => vkey);
  }

  get counts(): LedgerCounts {
    const { size, checkpoint } = this.#log;
    const writable = this.#reopening === undefined;
    const { counts: witnesses } = this.#witnesses;
    return { entries: size, published: checkpoint.size, failures: this.#failures, writable, witnesses };
  }

  async add(entry: Uint8Array): Promise<Placed> {
    try {
      return await this.#using((log) => log.add(entry));
    } catch (thrown) {
      throw this.#failed(thrown);
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
  async receipt(index: number, tenant: string): Promise<Receipt> {
    // Another server may have added it.
    if (index >= this.#log.size) await this.#using((log) => log.catchUp());
    const witnessed = (entry: number): string | undefined => this.#witnesses.over(entry);
    return receiptOf(index, { tenant, log: this.#log, vault: this.#vault, witnessed });
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
    // What other servers added is taken in a little at a time, and their crash leaves nothing unpublished.
    await this.#using((log) => log.catchUp());
    await this.#log.publish();
    this.#witnesses.ask(this.#log.signedCheckpoint);
  }

  #openWitnesses(): Witnesses {
    const { witnesses, clocks, onWitness, onError } = this.#options;
    const { signal } = this.#stop;
    return new Witnesses({
      peers: witnesses.map(({ url, key }) => ({
        verifier: noteVerifier(key),
        call: witnessCall(url, signal),
      })),
      read: (name) => this.#log.tile(name),
      clock: clocks.clock,
      onCosigned: (note) => {
        if (!signal.aborted) void this.#log.cosign(note).catch((error) => onError(asClawError(error)));
      },
      onChange: (name, error) => {
        if (!signal.aborted) onWitness(name, error);
      },
    });
  }

  /** Writes to the log, which is opened again if it fails at that. */
  async #using<T>(work: (log: Log) => Promise<T>): Promise<T> {
    if (this.#reopening !== undefined && this.#trouble !== undefined) throw this.#trouble;
    const log = this.#log;
    try {
      return await work(log);
    } catch (thrown) {
      const error = asClawError(thrown);
      if (error.code.startsWith("E_LEDGER")) this.#reopen(log, error);
      throw error;
    }
  }

  async #forgetOld(): Promise<void> {
    const { retentionDays, clocks } = this.#options;
    if (retentionDays !== undefined) await this.#vault.forgetBefore(clocks.now() - retentionDays * DAY_MS);
  }

  #forgetOldNow(): void {
    void this.#forgetOld().catch((error) => this.#options.onError(asClawError(error)));
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
        this.#trouble = undefined;
        this.#forgetOldNow();
        return;
      } catch (thrown) {
        this.#trouble = asClawError(thrown);
        this.#options.onError(this.#trouble);
      }
    }
  }
}

function openLog(place: LogPlace, signers: readonly SigningKey[]): Promise<Log> {
  const verifiers = signers.map(({ vkey }) => noteVerifier(vkey));
  return Log.open({ storage: storageAt(place), origin: place.origin, signers, verifiers });
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
