/**
 * The performance model: seconds of one decoding step on measured nodes and links. docs/internals/cluster.md says what it
 * leaves out and how its numbers are measured.
 */

import { at } from "../../base/mod.ts";
import { maximalSubtrees } from "../../tensor/mod.ts";
import type { Machine, Machines } from "./machine.ts";
import type { ModelCosts, PartCosts } from "./model-costs.ts";

/** Seconds in which a node computes half a layer of which it holds `segments`: memory or arithmetic, whichever is slower. */
export function partSeconds(machine: Machine, part: PartCosts, { segments, rows }: Held): number {
  const weights = part.weightBytes * segments + part.sharedWeightBytes;
  const kv = part.kvBytes * segments + part.sharedKvBytes;
  const multiplyAdds = rows * (part.multiplyAdds * segments + part.sharedMultiplyAdds);
  return (
    matrixSeconds(machine, weights, multiplyAdds) + kv / machine.kvBytesPerSecond + machine.layerSeconds / 2
  );
}

interface Held {
  readonly segments: number;
  readonly rows: number;
}

/** Seconds in which a node computes the logits. */
export function outputSeconds(machine: Machine, costs: ModelCosts): number {
  return matrixSeconds(machine, costs.outputBytes, costs.rows * costs.outputMultiplyAdds);
}

function matrixSeconds({ speed }: Machine, bytes: number, multiplyAdds: number): number {
  return Math.max(bytes / speed.bytesPerSecond, multiplyAdds / speed.multiplyAddsPerSecond);
}

/** What a rank sends of a half layer: the roots of the maximal subtrees of its segments, one vector each. */
export function rootsOf(segments: number, [first, end]: readonly [number, number]): number {
  return maximalSubtrees(segments, first, end).length;
}

/**
 * Seconds until every rank has the partial sums of all: each sends its own to all others at once, so that a node's own
 * connection carries what it sends to each, and what it hears from each.
 */
export function exchangeSeconds(
  machines: Machines,
  nodes: readonly number[],
  { roots, residualBytes }: { readonly roots: readonly number[]; readonly residualBytes: number },
): number {
  if (nodes.length === 1) return 0;
  let slowest = 0;
  for (const [rank, node] of nodes.entries()) {
    let latency = 0;
    let sending = 0;
    let hearing = 0;
    for (const [other, peer] of nodes.entries()) {
      if (other === rank) continue;
      const link = machines.link(node, peer);
      latency = Math.max(latency, link.latencySeconds);
      sending += (at(roots, rank) * residualBytes) / link.bytesPerSecond;
      hearing += (at(roots, other) * residualBytes) / link.bytesPerSecond;
    }
    slowest = Math.max(slowest, latency + Math.max(sending, hearing));
  }
  return slowest;
}

/** Seconds until every node of `to` has a message that each of `from` holds: from whoever is nearest. */
export function hopSeconds(
  machines: Machines,
  { from, to }: { readonly from: readonly number[]; readonly to: readonly number[] },
  bytes: number,
): number {
  let slowest = 0;
  for (const node of to) {
    let soonest = Number.POSITIVE_INFINITY;
    for (const peer of from) {
      if (peer === node) soonest = 0;
      else {
        const link = machines.link(node, peer);
        soonest = Math.min(soonest, link.latencySeconds + bytes / link.bytesPerSecond);
      }
    }
    slowest = Math.max(slowest, soonest);
  }
  return slowest;
}

/** Bytes of one layer on a node that holds so many segments of it. */
export function layerBytes(
  { attention, ffn }: ModelCosts,
  held: { readonly attention: number; readonly ffn: number },
): number {
  const part = (costs: PartCosts, segments: number): number =>
    segments * (costs.weightBytes + costs.kvBytes) + costs.sharedWeightBytes + costs.sharedKvBytes;
  return part(attention, held.attention) + part(ffn, held.ffn);
}

/** What a node holds beside layers. */
export interface Duties {
  /** Whether it looks tokens up. */
  readonly first: boolean;
  /** Whether it computes the logits. */
  readonly output: boolean;
}

export function dutyBytes(costs: ModelCosts, { first, output }: Duties): number {
  const embedding = first ? costs.embeddingBytes : 0;
  const logits = output && !(first && costs.tiedOutput) ? costs.outputBytes : 0;
  return costs.nodeBytes + embedding + logits;
}
