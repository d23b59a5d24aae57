/**
 * The search for the fastest chain of groups: dynamic programming over (nodes used, first group, last group), with the
 * fewest seconds for every number of layers so far. Round n extends chains of n groups. Nothing is left out where the
 * cluster is small; of larger ones each round keeps the most promising chains.
 */

import { assert, at } from "../../base/mod.ts";
import { hopSeconds, layerBytes, outputSeconds } from "./cost.ts";
import type { ChosenStage, Group } from "./groups.ts";
import { EXTENSIONS_MAX } from "./limits.ts";
import type { Machines } from "./machine.ts";
import type { ModelCosts } from "./model-costs.ts";

/** A whole plan. */
export interface Chain {
  readonly seconds: number;
  readonly stages: readonly ChosenStage[];
  /** The node that draws the tokens. */
  readonly output: number;
}

export interface Found {
  readonly chain: Chain | undefined;
  /** Whether no chain was left out. */
  readonly exhaustive: boolean;
}

/** How a chain came to hold so many layers. */
interface Step {
  readonly before: Prefix | undefined;
  readonly stage: ChosenStage;
}

/** Chains of the same nodes, first and last group; the last one is not the plan's last. */
interface Prefix {
  readonly used: number;
  readonly first: Group;
  readonly last: Group;
  /** By layers held so far, from `held[0]` to `held[1]`; infinite elsewhere. */
  readonly seconds: Float64Array;
  readonly held: [least: number, most: number];
  readonly steps: (Step | undefined)[];
}

export interface SearchOptions {
  readonly stages: { readonly min: number; readonly max: number };
}

export class Search {
  readonly #machines: Machines;
  readonly #costs: ModelCosts;
  readonly #groups: readonly Group[];
  readonly #number: ReadonlyMap<Group, number>;
  /** What a layer, and the output, take at least. */
  readonly #layerSecondsMin: number;
  readonly #outputSecondsMin: number;
  /** Of a whole layer, shared out or not. */
  readonly #layerBytes: number;
  readonly #hops = new Map<number, number>();
  readonly #rooms = new Map<number, number>();
  #best: Chain | undefined;

  constructor(machines: Machines, costs: ModelCosts, groups: readonly Group[]) {
    this.#machines = machines;
    this.#costs = costs;
    this.#groups = groups;
    this.#number = new Map(groups.map((group, index) => [group, index]));
    this.#layerSecondsMin = Math.min(...groups.map(({ seconds }) => seconds));
    const whole = { attention: costs.attention.segments, ffn: costs.ffn.segments };
    this.#layerBytes = layerBytes(costs, whole);
    this.#outputSecondsMin = Math.min(...machines.list.map((machine) => outputSeconds(machine, costs)));
  }

  run({ stages }: SearchOptions): Found {
    let exhaustive = true;
    let prefixes = this.#round([undefined], { count: 1, stages });
    for (let count = 2; count <= stages.max && prefixes.length > 0; count++) {
      const kept = this.#mostPromising(prefixes);
      exhaustive &&= kept.complete;
      prefixes = this.#round(kept.prefixes, { count, stages });
    }
    return { chain: this.#best, exhaustive };
  }

  /** Makes every group the last of every chain, and the next of those that may grow. */
  #round(
    chains: readonly (Prefix | undefined)[],
    { count, stages }: SearchOptions & { readonly count: number },
  ): Prefix[] {
    const next = new Map<number, Prefix>();
    for (const chain of chains) {
      for (const group of this.#groups) {
        const used = chain?.used ?? 0;
        if ((used & group.mask) !== 0 || (used & group.after) !== group.after) continue;
        const hop = chain === undefined ? 0 : this.#hop(chain.last, group);
        if (hop === Number.POSITIVE_INFINITY) continue;
        if (count >= stages.min) this.#finish(chain, group, hop);
        if (count < stages.max) this.#extend(chain, group, { hop, next });
      }
    }
    return [...next.values()];
  }

  #hop(from: Group, to: Group): number {
    const key = this.#numberOf(from) * this.#groups.length + this.#numberOf(to);
    const known = this.#hops.get(key);
    if (known !== undefined) return known;
    const way = { from: from.nodes, to: to.nodes };
    const seconds = hopSeconds(this.#machines, way, this.#costs.residualBytes);
    this.#hops.set(key, seconds);
    return seconds;
  }

  #numberOf(group: Group): number {
    return this.#number.get(group) ?? 0;
  }

  /** Looks at the plans that end with `group`. */
  #finish(chain: Prefix | undefined, group: Group, hop: number): void {
    const { layers, tokenBytes } = this.#costs;
    const first = chain?.first ?? group;
    for (const [rank, output] of group.nodes.entries()) {
      const back = hopSeconds(this.#machines, { from: [output], to: first.nodes }, tokenBytes);
      const fixed = hop + outputSeconds(this.#machines.at(output), this.#costs) + back;
      for (const stage of group.stages({ first: chain === undefined, output: rank })) {
        const before = layers - stage.layers;
        if (chain === undefined && before !== 0) continue;
        const seconds = (chain?.seconds[before] ?? 0) + stage.layers * stage.sharing.seconds + fixed;
        if (seconds >= (this.#best?.seconds ?? Number.POSITIVE_INFINITY)) continue;
        this.#best = { seconds, stages: [...trace(chain, before), stage], output };
      }
    }
  }

  /** Adds the chains that go on after `group` to `next`. */
  #extend(
    chain: Prefix | undefined,
    group: Group,
    { hop, next }: { readonly hop: number; readonly next: Map<number, Prefix> },
  ): void {
    const stages = group.stages({ first: chain === undefined, output: -1 });
    const [least, most] = chain?.held ?? [0, 0];
    const used = (chain?.used ?? 0) | group.mask;
    // A layer is left for the last group, and no more than the other nodes have room for.
    const wanted = [this.#costs.layers - this.#room(used), this.#costs.layers - 1] as const;
    if (most + stages.length < wanted[0] || stages.length === 0) return;
    const prefix = this.#prefix(chain, group, next);
    for (const stage of stages) {
      const added = hop + stage.layers * stage.sharing.seconds;
      const step: Step = { before: chain, stage };
      const end = Math.min(most + stage.layers, wanted[1]);
      for (let held = Math.max(least + stage.layers, wanted[0]); held <= end; held++) {
        const seconds = (chain === undefined ? 0 : at(chain.seconds, held - stage.layers)) + added;
        if (seconds >= at(prefix.seconds, held)) continue;
        prefix.seconds[held] = seconds;
        prefix.steps[held] = step;
        prefix.held[0] = Math.min(prefix.held[0], held);
        prefix.held[1] = Math.max(prefix.held[1], held);
      }
    }
  }

  /** Layers that nodes which are not used have room for at most. */
  #room(used: number): number {
    const known = this.#rooms.get(used);
    if (known !== undefined) return known;
    const free = this.#machines.list.filter((_, node) => (used & (1 << node)) === 0);
    const room = Math.floor(free.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) / this.#layerBytes);
    this.#rooms.set(used, room);
    return room;
  }

  #prefix(chain: Prefix | undefined, group: Group, next: Map<number, Prefix>): Prefix {
    const first = chain?.first ?? group;
    const used = (chain?.used ?? 0) | group.mask;
    const count = this.#groups.length;
    const key = (used * count + this.#numberOf(first)) * count + this.#numberOf(group);
    const known = next.get(key);
    if (known !== undefined) return known;
    const seconds = new Float64Array(this.#costs.layers + 1).fill(Number.POSITIVE_INFINITY);
    const made: Prefix = { used, first, last: group, seconds, held: [this.#costs.layers, 0], steps: [] };
    next.set(key, made);
    return made;
  }

  /** Those that may still become faster than the best plan, the most promising first where there are too many. */
  #mostPromising(prefixes: readonly Prefix[]): { prefixes: Prefix[]; complete: boolean } {
    const bounded = prefixes
      .map((prefix) => ({ prefix, bound: this.#bound(prefix) }))
      .filter(({ bound }) => bound < (this.#best?.seconds ?? Number.POSITIVE_INFINITY));
    const width = Math.max(1, Math.floor(EXTENSIONS_MAX / this.#groups.length));
    const complete = bounded.length <= width;
    if (!complete) bounded.sort((a, b) => a.bound - b.bound);
    return { prefixes: bounded.slice(0, width).map(({ prefix }) => prefix), complete };
  }

  /** Seconds that no plan which begins so falls below. */
  #bound({ seconds, held: [first, last] }: Prefix): number {
    const { layers } = this.#costs;
    let least = Number.POSITIVE_INFINITY;
    for (let held = first; held <= last; held++) {
      least = Math.min(least, at(seconds, held) + (layers - held) * this.#layerSecondsMin);
    }
    return least + this.#outputSecondsMin;
  }
}

function trace(chain: Prefix | undefined, layers: number): ChosenStage[] {
  if (chain === undefined) return [];
  const step = chain.steps[layers];
  assert(step !== undefined, `No chain holds ${layers} layers.`);
  return [...trace(step.before, layers - step.stage.layers), step.stage];
}
