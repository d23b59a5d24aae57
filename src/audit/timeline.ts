/** Times for entries that go forward whatever is done to the machine's clock. */

import { DRIFT_MS } from "./limits.ts";

export interface Clocks {
  /** Milliseconds since 1970; may be set while we look. */
  readonly now: () => number;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
}

interface Stamp {
  readonly time: number;
  readonly clock_drift?: number;
}

export class Timeline {
  readonly #clocks: Clocks;
  readonly #start: number;
  readonly #startClock: number;

  /** `after`: the time of the last entry there is; ours are not before it. */
  constructor(clocks: Clocks, after = 0) {
    this.#clocks = clocks;
    this.#startClock = clocks.clock();
    this.#start = Math.max(clocks.now(), after);
  }

  /** The time of an entry that is made now. A clock that was set meanwhile shows beside it. */
  stamp(): Stamp {
    const { now, clock } = this.#clocks;
    const time = Math.floor(this.#start + clock() - this.#startClock);
    const drift = Math.round(now() - time);
    return Math.abs(drift) > DRIFT_MS ? { time, clock_drift: drift } : { time };
  }
}
