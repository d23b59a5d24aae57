/** The simulated control plane: one server that keeps what it acknowledged, and checks that what it keeps makes sense. */

import {
  type Answer,
  type ClusterState,
  type Entry,
  type Request,
  readState,
  STATE_KEY,
} from "../src/cluster/mod.ts";

export class ControlPlane {
  /** Deleted keys stay, without a value. */
  readonly entries: Map<string, Entry> = new Map();
  #up = true;
  /** How often it has crashed. */
  crashes = 0;
  /** Writes refused because somebody else had written. */
  refused = 0;
  readonly #violation: (problem: string) => void;
  readonly #blind: boolean;
  #revision = 0;
  #state: ClusterState | undefined;

  /** `blind`: a server that ignores what a write expects, to see that this is noticed. */
  constructor(violation: (problem: string) => void, { blind }: { readonly blind: boolean }) {
    this.#violation = violation;
    this.#blind = blind;
  }

  get up(): boolean {
    return this.#up;
  }

  set up(up: boolean) {
    if (this.#up && !up) this.crashes++;
    this.#up = up;
  }

  get state(): ClusterState | undefined {
    return this.#state;
  }

  answer(request: Request): { readonly answer: Answer; readonly change: Entry | undefined } {
    if (request.kind === "read") {
      const entry = this.entries.get(request.key);
      return {
        answer: { kind: "entry", entry: entry?.value === undefined ? undefined : entry },
        change: undefined,
      };
    }
    const { key, value, expected } = request.write;
    const current = this.entries.get(key);
    const revision = current?.value === undefined ? 0 : current.revision;
    if (revision !== expected && !this.#blind) {
      this.refused++;
      return { answer: { kind: "conflict" }, change: undefined };
    }
    const change = this.put(key, value);
    return { answer: { kind: "done", revision: change.revision }, change };
  }

  put(key: string, value: Uint8Array | undefined): Entry {
    const entry: Entry = { key, value, revision: ++this.#revision };
    this.entries.set(key, entry);
    if (key === STATE_KEY && value !== undefined) this.#check(value);
    return entry;
  }

  #check(value: Uint8Array): void {
    const reading = readState(value);
    if (!("value" in reading)) return;
    const [before, after] = [this.#state, reading.value];
    this.#state = after;
    if (before === undefined) return;
    if (after.epoch < before.epoch) {
      this.#violation(`A write of epoch ${after.epoch} was taken after one of ${before.epoch}.`);
    }
    const sameHolder = after.holder.node === before.holder.node && after.holder.life === before.holder.life;
    if (after.epoch === before.epoch && !sameHolder) {
      this.#violation(`Epoch ${after.epoch} has two holders.`);
    }
    const [last, next] = [before.plan?.version ?? 0, after.plan?.version ?? 0];
    // Only where the state was overwritten with something unreadable may plans begin anew.
    if (next < last && after.epoch === before.epoch) this.#violation(`Plan ${next} was taken after ${last}.`);
  }
}
