/** Sets of nodes that may compute layers together, and how fast each is in every way of sharing them. */

import { at } from "../../base/mod.ts";
import { type Duties, dutyBytes, exchangeSeconds, layerBytes, partSeconds } from "./cost.ts";
import { SETS_PER_SIZE_MAX } from "./limits.ts";
import type { Machines } from "./machine.ts";
import type { ModelCosts, PartCosts } from "./model-costs.ts";
import { type Split, splitsOf } from "./splits.ts";

/** A way of sharing a layer. */
export interface Sharing {
  /** Of one layer. */
  readonly seconds: number;
  readonly attention: Split;
  readonly ffn: Split;
}

/** Some layers that a group holds in the fastest way that leaves room for so many. */
export interface ChosenStage {
  readonly group: Group;
  readonly sharing: Sharing;
  readonly layers: number;
}

/** The duties of a group in a plan; `output` is the rank that draws the tokens, -1 for none. */
export interface GroupDuties {
  readonly first: boolean;
  readonly output: number;
}

export interface Context {
  readonly machines: Machines;
  readonly costs: ModelCosts;
  /** By number of ranks. */
  readonly splits: (ranks: number) => PartSplits;
}

interface PartSplits {
  readonly attention: readonly Split[];
  readonly ffn: readonly Split[];
}

interface TimedSplit {
  readonly split: Split;
  readonly seconds: number;
}

export class Group {
  readonly nodes: readonly number[];
  readonly mask: number;
  /** Nodes that have to be at work before these: those just like them that come first. */
  readonly after: number;
  /** Of one layer, shared in the fastest way. */
  readonly seconds: number;
  readonly #context: Context;
  readonly #attention: readonly TimedSplit[];
  readonly #ffn: readonly TimedSplit[];
  readonly #stages = new Map<number, readonly ChosenStage[]>();

  constructor(nodes: readonly number[], context: Context) {
    this.nodes = nodes;
    this.mask = nodes.reduce((mask, node) => mask | (1 << node), 0);
    const twins = nodes.map((node) => context.machines.twinBefore(node)).filter((twin) => twin !== undefined);
    this.after = twins.reduce((mask, twin) => mask | (1 << twin), 0) & ~this.mask;
    this.#context = context;
    const { attention, ffn } = context.splits(nodes.length);
    this.#attention = timedSplits(nodes, attention, { ...context, part: context.costs.attention });
    this.#ffn = timedSplits(nodes, ffn, { ...context, part: context.costs.ffn });
    this.seconds = fastest(this.#attention) + fastest(this.#ffn);
  }

  /** Its stages of 1, 2, … layers, as many as there is room for. */
  stages(duties: GroupDuties): readonly ChosenStage[] {
    const key = 2 * (duties.output + 1) + (duties.first ? 1 : 0);
    const known = this.#stages.get(key);
    if (known !== undefined) return known;
    const found: ChosenStage[] = [];
    for (const sharing of this.#sharings()) {
      const layersMax = this.#layersMax(sharing, duties);
      while (found.length < layersMax) found.push({ group: this, sharing, layers: found.length + 1 });
      if (found.length === this.#context.costs.layers) break;
    }
    this.#stages.set(key, found);
    return found;
  }

  #sharings(): Sharing[] {
    const pairs = this.#attention.flatMap((attention) =>
      this.#ffn.map((ffn) => {
        const seconds = attention.seconds + ffn.seconds;
        return { seconds, attention: attention.split, ffn: ffn.split };
      }),
    );
    return pairs.sort((a, b) => a.seconds - b.seconds);
  }

  #layersMax({ attention, ffn }: Sharing, { first, output }: GroupDuties): number {
    const { costs, machines } = this.#context;
    let most = costs.layers;
    for (const [rank, node] of this.nodes.entries()) {
      const duties: Duties = { first, output: rank === output };
      const free = machines.at(node).memoryBytes - dutyBytes(costs, duties);
      const layer = layerBytes(costs, { attention: at(attention.counts, rank), ffn: at(ffn.counts, rank) });
      most = Math.min(most, Math.floor(free / layer));
    }
    return Math.max(0, most);
  }
}

/** The fastest split of every list of counts. */
function timedSplits(
  nodes: readonly number[],
  splits: readonly Split[],
  { machines, costs, part }: Context & { readonly part: PartCosts },
): TimedSplit[] {
  const best = new Map<string, TimedSplit>();
  for (const split of splits) {
    const compute = split.counts.map((segments, rank) =>
      partSeconds(machines.at(at(nodes, rank)), part, { segments, rows: costs.rows }),
    );
    const { roots } = split;
    const exchange = exchangeSeconds(machines, nodes, { roots, residualBytes: costs.residualBytes });
    const seconds = Math.max(...compute) + exchange;
    const key = split.counts.join(" ");
    const known = best.get(key);
    if (known === undefined || seconds < known.seconds) best.set(key, { split, seconds });
  }
  return [...best.values()];
}

function fastest(splits: readonly TimedSplit[]): number {
  return Math.min(Number.POSITIVE_INFINITY, ...splits.map(({ seconds }) => seconds));
}

export interface GroupList {
  /** The smaller first, then by their nodes. */
  readonly groups: readonly Group[];
  /** Whether every set that can compute is there. */
  readonly complete: boolean;
}

/** Sets of `sizes` nodes: grown one by one, so that of large clusters only sets that grew from fast ones are looked at. */
export function listGroups(
  machines: Machines,
  costs: ModelCosts,
  { min, max }: { readonly min: number; readonly max: number },
): GroupList {
  const context = { machines, costs, splits: splitTable(costs) };
  const groups: Group[] = [];
  let complete = true;
  let smaller: readonly Group[] = [];
  for (let size = 1; size <= max; size++) {
    const sets =
      size === 1 ? machines.list.map((_, node) => [node]) : largerSets(smaller, machines.list.length);
    const found = sets
      .filter((nodes) => isRun(nodes, machines))
      .map((nodes) => new Group(nodes, context))
      .filter(({ seconds }) => seconds < Infinity);
    const kept = found.toSorted((a, b) => a.seconds - b.seconds).slice(0, SETS_PER_SIZE_MAX);
    complete &&= kept.length === found.length;
    smaller = kept;
    if (size >= min) groups.push(...kept.sort(byNodes));
  }
  return { groups, complete };
}

/** Whether it leaves out no node between two that are just like it: of equal sets one is enough. */
function isRun(nodes: readonly number[], machines: Machines): boolean {
  return nodes.every((node) => {
    let twin = machines.twinBefore(node);
    if (twin === undefined || nodes.includes(twin)) return true;
    while (twin !== undefined && !nodes.includes(twin)) twin = machines.twinBefore(twin);
    return twin === undefined;
  });
}

/** Each set with each node that it lacks, once. */
function largerSets(smaller: readonly Group[], count: number): number[][] {
  const sets = new Map<number, number[]>();
  for (const { nodes, mask } of smaller) {
    for (let node = 0; node < count; node++) {
      if ((mask & (1 << node)) === 0)
        sets.set(
          mask | (1 << node),
          [...nodes, node].sort((a, b) => a - b),
        );
    }
  }
  return [...sets.values()];
}

function byNodes(a: Group, b: Group): number {
  const index = a.nodes.findIndex((node, rank) => node !== b.nodes[rank]);
  return index === -1 ? 0 : at(a.nodes, index) - at(b.nodes, index);
}

function splitTable({ attention, ffn }: ModelCosts): (ranks: number) => PartSplits {
  const table = new Map<number, PartSplits>();
  return (ranks) => {
    const known = table.get(ranks);
    if (known !== undefined) return known;
    const splits = {
      attention: splitsOf(attention.segments, ranks),
      ffn: splitsOf(ffn.segments, ranks),
    };
    table.set(ranks, splits);
    return splits;
  };
}
