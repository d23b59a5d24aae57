/** What the process that holds the lease tells its engine's thread to do, and hears from it: plain data over a channel. */

import type { NodeAddress, PrescribedDegrees } from "../membership/mod.ts";
import type { Plan } from "../plan/mod.ts";

/** A node that is to run a rank. */
export interface RankNode {
  readonly name: string;
  readonly life: string;
  readonly address: NodeAddress;
}

/** A plan in force, and where its ranks are. */
export interface Work {
  /** Epoch of the lease under which it is done. */
  readonly holder: number;
  readonly plan: Plan;
  readonly degrees: PrescribedDegrees;
  /** By rank. */
  readonly nodes: readonly RankNode[];
  /** By rank: what it takes on its node, and what the node has. */
  readonly memory: readonly { readonly bytes: number; readonly bytesMax: number }[];
}

export type ToSource =
  /** `problem`: why there is nothing to do, and for what was prescribed. */
  | { readonly kind: "work"; readonly work: Work }
  | { readonly kind: "idle"; readonly problem: string; readonly degrees: PrescribedDegrees | undefined }
  | { readonly kind: "closing" };

export type FromSource =
  /** It is there, and wants to be told. */
  | { readonly kind: "hello" }
  | { readonly kind: "degrees"; readonly degrees: PrescribedDegrees }
  | { readonly kind: "unreachable"; readonly node: string; readonly life: string; readonly why: string };

/** What an engine's thread is told to begin with. */
export interface SourceOptions {
  /** The name of a BroadcastChannel between it and the member in its process. */
  readonly channel: string;
  readonly name: string;
  readonly secret: Uint8Array;
  readonly host: string;
  readonly driver: "tcp" | "ucx";
  readonly root: string;
  /** Where parts of the model are handed out; null: nowhere. */
  readonly slices: NodeAddress | null;
  /** How many runtimes were opened: one number, also across threads that were started again. */
  readonly opened: SharedArrayBuffer;
}

/** Whether two works need the same ranks on the same nodes. */
export function sameWork(a: Work, b: Work): boolean {
  const key = ({ holder, plan, nodes }: Work): string => {
    return JSON.stringify([holder, plan, nodes.map(({ name, life }) => [name, life])]);
  };
  return key(a) === key(b);
}

/** Whether every node has room for its ranks of both works at a time. */
export function roomForBoth(a: Work, b: Work): boolean {
  const taken = new Map<string, number>();
  for (const work of [a, b]) {
    for (const [rank, { name }] of work.nodes.entries()) {
      taken.set(name, (taken.get(name) ?? 0) + (work.memory[rank]?.bytes ?? 0));
    }
  }
  return b.nodes.every(({ name }, rank) => (taken.get(name) ?? 0) <= (b.memory[rank]?.bytesMax ?? 0));
}
