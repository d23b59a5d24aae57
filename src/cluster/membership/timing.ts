/** How often members speak, and how long a silence means what. */
export interface Timing {
  readonly heartbeatMs: number;
  /** How long the holder of the lease may act after it sent what renewed it. */
  readonly leaseMs: number;
  /** What others wait longer, as a part of the lease: clocks that run unlike each other by less than this part do no harm. */
  readonly leaseMargin: number;
  /** Suspicion (phi) from which a node is taken for dead. */
  readonly suspicion: number;
  /** How long the nodes have to be the same before a plan is made for them. */
  readonly settleMs: number;
  /** After which the record of a dead node is removed. */
  readonly forgetMs: number;
}

export const TIMING_DEFAULT: Timing = {
  heartbeatMs: 200,
  leaseMs: 1000,
  leaseMargin: 0.1,
  suspicion: 8,
  settleMs: 400,
  forgetMs: 30_000,
};

/** How long whoever sees no renewal waits before it takes the lease. */
export function patienceMs({ leaseMs, leaseMargin }: Timing): number {
  return leaseMs * (1 + leaseMargin);
}
