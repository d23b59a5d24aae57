/** Another node, as its heartbeats show it. */

import { FailureDetector } from "../detector/mod.ts";
import type { NodeRecord } from "./records.ts";
import type { Register } from "./register.ts";
import type { Timing } from "./timing.ts";

export class Peer {
  readonly register: Register;
  readonly #timing: Timing;
  #record: NodeRecord;
  #detector: FailureDetector;
  /** Heartbeats of this life, the first included. */
  #sightings = 1;

  constructor(register: Register, record: NodeRecord, { now, timing }: { now: number; timing: Timing }) {
    this.register = register;
    this.#timing = timing;
    this.#record = record;
    this.#detector = new FailureDetector(now, timing);
  }

  get record(): NodeRecord {
    return this.#record;
  }

  beat(now: number, record: NodeRecord): void {
    if (record.life === this.#record.life) {
      this.#detector.heard(now);
      this.#sightings++;
    } else {
      this.#detector = new FailureDetector(now, this.#timing);
      this.#sightings = 1;
    }
    this.#record = record;
  }

  suspicion(now: number): number {
    return this.#detector.phi(now);
  }

  /** A record may have lain there for long: only one that changes is of a living node. */
  alive(now: number): boolean {
    return this.#sightings > 1 && this.suspicion(now) < this.#timing.suspicion;
  }

  forgotten(now: number): boolean {
    return !this.alive(now) && now - this.#detector.heardAt > this.#timing.forgetMs;
  }
}
