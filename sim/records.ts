/** The journal's records on the simulated control plane, and a process's way to them over the simulated network. */

import { ClawError } from "../src/base/mod.ts";
import type { JournalStore, StoredRecord } from "../src/journal/mod.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { SimulatedProcess } from "./process.ts";

const REQUEST_MS = 800;
/** Records that come in one message. */
const READ_TOGETHER = 64;
/** Some messages take much longer than the others. */
const LATE = 0.03;
const LATE_MS_MAX = 3000;
/** A control plane that promises too early has a record so much later. */
const EARLY_MS = 1500;

/** What the control plane has of the journal: what it acknowledged it keeps. */
export class SimulatedRecords {
  readonly counts = { kept: 0, removed: 0, refused: 0, unanswered: 0, late: 0, damaged: 0, forgotten: 0 };
  /** There is no room. */
  full = false;
  readonly #cluster: SimulatedCluster;
  #records: StoredRecord[] = [];

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
  }

  get all(): readonly StoredRecord[] {
    return [...this.#records];
  }

  add(record: StoredRecord): void {
    if (this.full) {
      this.counts.refused++;
      throw new ClawError("E_CONTROL", "The journal is full.");
    }
    const { plane, schedule, defect } = this.#cluster;
    if (record.epoch < (plane.state?.epoch ?? 0)) this.counts.late++;
    if (defect !== "early-promise") {
      this.#keep(record);
      return;
    }
    const { crashes } = plane;
    schedule.after(EARLY_MS, () => {
      if (plane.crashes === crashes) this.#keep(record);
    });
  }

  remove(epoch: number, stream: string): void {
    const before = this.#records.length;
    this.#records = this.#records.filter((record) => record.epoch !== epoch || record.stream !== stream);
    this.counts.removed += before - this.#records.length;
  }

  /** Adds something like a record, as nobody who has the secret would write it. */
  litter(): void {
    const { random } = this.#cluster;
    const [one, other] = [this.#any(), this.#any()];
    if (one === undefined || other === undefined) return;
    this.counts.damaged++;
    const { bytes } = one;
    const altered = Uint8Array.from(bytes);
    const place = random.below(bytes.length);
    altered[place] = bytes[place]! ^ (1 + random.below(255));
    const made = [
      { ...one, bytes: altered },
      { ...one, bytes: bytes.slice(0, random.below(bytes.length)) },
      { ...other, bytes },
      { ...one, epoch: one.epoch + 1 },
    ];
    this.#keep(made[random.below(made.length)]!);
  }

  /** Loses tokens: an opening is all that a stream depends on. */
  forget(): void {
    const record = this.#any();
    if (record?.kind !== "tokens") return;
    this.#records = this.#records.filter((each) => each !== record);
    this.counts.forgotten++;
  }

  #any(): StoredRecord | undefined {
    return this.#records[this.#cluster.random.below(this.#records.length)];
  }

  #keep(record: StoredRecord): void {
    this.#records.push({ ...record, bytes: Uint8Array.from(record.bytes) });
    this.counts.kept++;
  }
}

/** The records as one process reaches them. */
export class SimulatedStore implements JournalStore {
  readonly #cluster: SimulatedCluster;
  readonly #process: SimulatedProcess;
  readonly #records: SimulatedRecords;

  constructor(cluster: SimulatedCluster, process: SimulatedProcess, records: SimulatedRecords) {
    this.#cluster = cluster;
    this.#process = process;
    this.#records = records;
  }

  add(record: StoredRecord): Promise<void> {
    return this.#ask(() => this.#records.add(record));
  }

  remove(epoch: number, stream: string): Promise<void> {
    return this.#ask(() => this.#records.remove(epoch, stream));
  }

  async *read(): AsyncGenerator<StoredRecord, void, void> {
    const found = await this.#ask(() => this.#records.all);
    for (let from = 0; from < found.length; from += READ_TOGETHER) {
      yield* await this.#ask(() => found.slice(from, from + READ_TOGETHER));
    }
  }

  async close(): Promise<void> {}

  #ask<T>(answer: () => T): Promise<T> {
    const [cluster, process] = [this.#cluster, this.#process];
    const { random, schedule, plane } = cluster;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const answered = process.after(REQUEST_MS, () => {
      this.#records.counts.unanswered++;
      reject(new ClawError("E_CONTROL", "No answer came."));
    });
    const tell = (settle: () => void): void =>
      cluster.send(process, () => {
        process.wake(() => {
          answered();
          settle();
          schedule.stir();
        });
      });
    const arrive = (): void => {
      if (!plane.up) return;
      try {
        const given = answer();
        tell(() => resolve(given));
      } catch (error) {
        tell(() => reject(error));
      }
    };
    const late = random.chance(LATE) ? random.between(0, LATE_MS_MAX) : 0;
    cluster.send(process, () => (late === 0 ? arrive() : schedule.after(late, arrive)));
    return promise;
  }
}
