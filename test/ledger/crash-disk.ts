/**
 * A disk that loses power: at a chosen operation everything stops, and what was not synced is lost, cut short, or there
 * with a hole where an earlier write was; removed files may be back. What was synced stays.
 */

import type { Disk } from "../../src/ledger/mod.ts";

interface CrashFile {
  synced: Uint8Array;
  /** Appends that no sync has covered. */
  loose: Uint8Array[];
  removed: boolean;
}

/** Counts what crashes did to loose writes. */
export interface CrashCounts {
  kept: number;
  dropped: number;
  cut: number;
  holed: number;
  resurrected: number;
}

export class PowerLoss extends Error {}

/** What was being done when the power went, and to which kind of file. */
function stepOf(operation: string, path: string): string {
  const kind = /^(?:journal|checkpoint|tile\/entries|tile)/.exec(path)?.[0] ?? "other";
  return `${operation} ${kind}`;
}

export class CrashDisk implements Disk {
  readonly #files = new Map<string, CrashFile>();
  readonly #chance: () => number;
  readonly counts: CrashCounts = { kept: 0, dropped: 0, cut: 0, holed: 0, resurrected: 0 };
  /** Losses by the step that they broke off. */
  readonly lostAt: Map<string, number> = new Map();
  #left = Number.POSITIVE_INFINITY;
  /** A broken variant for the test of the test: `sync` promises and does nothing. */
  lying = false;

  constructor(chance: () => number) {
    this.#chance = chance;
  }

  /** Loses power at the operation after the next `operations`. */
  failAfter(operations: number): void {
    this.#left = operations;
  }

  /** What the next start finds. */
  powerOn(): void {
    this.#left = Number.POSITIVE_INFINITY;
    for (const file of this.#files.values()) {
      if (file.removed && this.#chance() < 0.5) {
        file.removed = false;
        this.counts.resurrected++;
      }
      if (file.loose.length > 0) file.synced = joined([file.synced, ...this.#survivors(file.loose)]);
      file.loose = [];
    }
  }

  #survivors(loose: readonly Uint8Array[]): Uint8Array[] {
    const draw = this.#chance();
    const whole = joined(loose);
    if (draw < 0.25) {
      this.counts.kept++;
      return [whole];
    }
    if (draw < 0.5) {
      this.counts.dropped++;
      return [];
    }
    if (draw < 0.75) {
      this.counts.cut++;
      return [whole.slice(0, Math.floor(this.#chance() * whole.length))];
    }
    this.counts.holed++;
    const first = Math.floor(this.#chance() * whole.length);
    return [whole.slice().fill(0, first, first + 1 + Math.floor(this.#chance() * 600))];
  }

  #step(operation: string, path: string): void {
    if (this.#left < 0) throw new PowerLoss("The power is gone.");
    this.#left--;
    if (this.#left >= 0) return;
    const step = stepOf(operation, path);
    this.lostAt.set(step, (this.lostAt.get(step) ?? 0) + 1);
    throw new PowerLoss(`The power is gone: ${step}.`);
  }

  #file(path: string): CrashFile {
    const file = this.#files.get(path) ?? { synced: new Uint8Array(), loose: [], removed: false };
    if (file.removed) Object.assign(file, { synced: new Uint8Array(), loose: [], removed: false });
    this.#files.set(path, file);
    return file;
  }

  /** One process has it all. */
  async hold(): Promise<void> {}

  async close(): Promise<void> {}

  async read(path: string): Promise<Uint8Array | undefined> {
    this.#step("read", path);
    const file = this.#files.get(path);
    return file === undefined || file.removed ? undefined : joined([file.synced, ...file.loose]);
  }

  async list(folder: string): Promise<string[]> {
    this.#step("list", folder);
    const paths = [...this.#files].filter(([path, { removed }]) => path.startsWith(`${folder}/`) && !removed);
    return paths.map(([path]) => path.slice(folder.length + 1)).sort();
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    const file = this.#file(path);
    // A write that power cuts off may have reached the disk all the same.
    file.loose.push(bytes.slice());
    this.#step("append", path);
    await Promise.resolve();
  }

  async sync(path: string): Promise<void> {
    this.#step("sync", path);
    await Promise.resolve();
    if (this.lying) return;
    const file = this.#file(path);
    file.synced = joined([file.synced, ...file.loose]);
    file.loose = [];
  }

  async truncate(path: string, length: number): Promise<void> {
    this.#step("truncate", path);
    const file = this.#file(path);
    file.synced = joined([file.synced, ...file.loose]).slice(0, length);
    file.loose = [];
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    // The new file may have its name already when the power goes.
    if (this.#left > 0 || this.#chance() < 0.5) {
      const file = this.#file(path);
      file.synced = bytes.slice();
      file.loose = [];
    }
    this.#step("replace", path);
    await Promise.resolve();
  }

  async remove(path: string): Promise<void> {
    this.#step("remove", path);
    for (const [name, file] of this.#files)
      if (name === path || name.startsWith(`${path}/`)) file.removed = true;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
