/** A simulated node process: a member, its own clock, and whether it runs, sleeps or is dead. */

import { Fence, Member, type MemberOptions } from "../src/cluster/mod.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";

/** How much slower or faster clocks run than time. */
const DRIFT = 0.02;

export interface ProcessOptions extends MemberOptions {
  readonly self: NonNullable<MemberOptions["self"]>;
}

export class SimulatedProcess {
  readonly name: string;
  readonly life: string;
  readonly member: Member;
  readonly fence: Fence = new Fence();
  readonly clockRate: number;
  readonly #clockOffset: number;
  readonly #schedule: Schedule;
  readonly #asleep: (() => void)[] = [];
  partitioned = false;
  watching = false;
  dead = false;
  paused = false;
  /** How often it changed what it says of itself. */
  edition = 0;

  constructor(schedule: Schedule, random: Random, options: ProcessOptions) {
    this.#schedule = schedule;
    this.name = options.self.description.name;
    this.life = options.self.life;
    this.clockRate = 1 + random.between(-DRIFT, DRIFT);
    this.#clockOffset = random.between(0, 1e6);
    this.member = new Member(this.clock, options);
  }

  get clock(): number {
    return this.#clockOffset + this.#schedule.now * this.clockRate;
  }

  get running(): boolean {
    return !this.dead && !this.paused;
  }

  /** Says something else of itself. */
  offer(draining: boolean): void {
    if (this.dead) return;
    this.edition++;
    this.member.say({ draining });
  }

  /** Does something after so many milliseconds on its clock, unless what is returned is called before. */
  after(milliseconds: number, run: () => void): () => void {
    let cancelled = false;
    const expire = (): void => {
      if (cancelled) return;
      run();
      this.#schedule.stir();
    };
    this.#schedule.after(milliseconds / this.clockRate, () => this.wake(expire));
    return () => {
      cancelled = true;
    };
  }

  /** Does something now, or when it wakes up; never once it is dead. */
  wake(run: () => void): void {
    if (this.dead) return;
    if (this.paused) this.#asleep.push(run);
    else run();
  }

  resume(): void {
    this.paused = false;
    // One after the other, as its event loop would: promises are kept in between.
    for (const run of this.#asleep.splice(0)) this.#schedule.after(0, () => this.wake(run));
  }
}
