/** Clusters, models and plans for tests: random ones, and every plan there is of small ones. */

import fc from "fast-check";
import type {
  ClusterDescription,
  ModelCosts,
  NodeDescription,
  Plan,
  PlanConstraints,
  PlanRank,
  PlanStage,
  Range,
} from "../../src/cluster/mod.ts";

const part = (segments: number, kv: number) =>
  fc.record({
    segments: fc.integer({ min: 1, max: segments }),
    weightBytes: fc.integer({ min: 1, max: 40 }),
    multiplyAdds: fc.integer({ min: 1, max: 40 }),
    kvBytes: fc.integer({ min: 0, max: kv }),
    sharedWeightBytes: fc.constantFrom(0, 0, 7),
    sharedMultiplyAdds: fc.constantFrom(0, 0, 7),
    sharedKvBytes: fc.constantFrom(0, 0, kv),
  });

interface ModelSize {
  readonly layers: number;
  readonly segments: number;
}

/** Costs of a few bytes, so that every term matters and any of them may bind. */
export const smallModels = ({ layers, segments }: ModelSize): fc.Arbitrary<ModelCosts> =>
  fc.record({
    name: fc.constant("small"),
    format: fc.constant("i8" as const),
    layers: fc.integer({ min: 1, max: layers }),
    rows: fc.integer({ min: 1, max: 3 }),
    attention: part(segments, 10),
    ffn: part(segments, 0),
    embeddingBytes: fc.integer({ min: 0, max: 60 }),
    outputBytes: fc.integer({ min: 0, max: 60 }),
    outputMultiplyAdds: fc.integer({ min: 0, max: 60 }),
    tiedOutput: fc.boolean(),
    nodeBytes: fc.integer({ min: 0, max: 5 }),
    residualBytes: fc.integer({ min: 1, max: 20 }),
    tokenBytes: fc.constant(4),
  });

const seconds = fc.constantFrom(0, 0.1, 1, 10, 40);

const node = (name: string): fc.Arbitrary<NodeDescription> =>
  fc.record({
    name: fc.constant(name),
    memoryBytes: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 1200 })),
    formats: fc.record({
      i8: fc.record({
        bytesPerSecond: fc.integer({ min: 5, max: 20 }),
        multiplyAddsPerSecond: fc.integer({ min: 20, max: 60 }),
      }),
    }),
    kvBytesPerSecond: fc.integer({ min: 1, max: 20 }),
    layerSeconds: fc.constantFrom(0, 0.5),
  });

const linkSpeed = fc.record({
  latencySeconds: seconds,
  bytesPerSecond: fc.constantFrom(1, 10, 100, 1e4, 1e4),
});

/** Clusters of `least` to `most` nodes, in which some pairs may have no link. */
export const smallClusters = (most: number, least = 1): fc.Arbitrary<ClusterDescription> =>
  fc.integer({ min: least, max: most }).chain((count) => {
    const names = Array.from({ length: count }, (_, index) => `n${index}`);
    const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b): [string, string] => [a, b]));
    const links = pairs.map((between) =>
      fc.option(
        linkSpeed.map((speed) => ({ between, ...speed })),
        { freq: 8, nil: undefined },
      ),
    );
    return fc
      .record({ nodes: fc.tuple(...names.map(node)), links: fc.tuple(...links) })
      .map((found) => ({ nodes: found.nodes, links: found.links.filter((link) => link !== undefined) }));
  });

/** Every plan of a model on a cluster, whether it fits or not. */
export function* everyPlan(
  { nodes }: ClusterDescription,
  model: ModelCosts,
  constraints: PlanConstraints = {},
): Generator<Plan> {
  for (const groups of chains(nodes.map(({ name }) => name))) {
    const { tensorParallelismDegree: tensor, pipelineParallelismDegree: pipeline } = constraints;
    if (pipeline !== undefined && groups.length !== pipeline) continue;
    if (tensor !== undefined && groups.some((group) => group.length !== tensor)) continue;
    for (const layers of compositions(model.layers, groups.length)) {
      for (const stages of everyChoice(groups.map((group) => everySharing(group, model)))) {
        let first = 0;
        const planned = stages.map((ranks, index): PlanStage => {
          const end = first + (layers[index] ?? 0);
          const stage: PlanStage = { layers: [first, end], ranks };
          first = end;
          return stage;
        });
        for (const output of groups.at(-1) ?? []) {
          yield { model: model.name, format: model.format, stages: planned, output };
        }
      }
    }
  }
}

/** Ordered lists of disjoint groups, one or more. */
function* chains(names: readonly string[]): Generator<string[][]> {
  for (const group of subsets(names)) {
    yield [group];
    for (const rest of chains(names.filter((name) => !group.includes(name)))) yield [group, ...rest];
  }
}

function subsets(names: readonly string[]): string[][] {
  return Array.from({ length: 2 ** names.length - 1 }, (_, index) =>
    names.filter((_name, bit) => ((index + 1) >> bit) % 2 === 1),
  );
}

function* compositions(total: number, parts: number): Generator<number[]> {
  if (parts === 1) yield [total];
  for (let first = 1; parts > 1 && first <= total - parts + 1; first++) {
    for (const rest of compositions(total - first, parts - 1)) yield [first, ...rest];
  }
}

function everySharing(group: readonly string[], model: ModelCosts): PlanRank[][] {
  const attention = [...everyRanges(model.attention.segments, group.length)];
  const ffn = [...everyRanges(model.ffn.segments, group.length)];
  return attention.flatMap((own) =>
    ffn.map((others) =>
      group.map((name, rank) => ({ node: name, attention: own[rank]!, ffn: others[rank]! })),
    ),
  );
}

/** Ranges that cover the segments, by rank, in every order of the ranks. */
function* everyRanges(segments: number, ranks: number): Generator<Range[]> {
  for (const counts of compositions(segments, ranks)) {
    for (const order of permutations(Array.from({ length: ranks }, (_, rank) => rank))) {
      const ranges: Range[] = [];
      let first = 0;
      for (const [place, rank] of order.entries()) {
        ranges[rank] = [first, first + counts[place]!];
        first += counts[place]!;
      }
      yield ranges;
    }
  }
}

function* permutations(list: readonly number[]): Generator<number[]> {
  if (list.length === 0) yield [];
  for (const first of list) {
    for (const rest of permutations(list.filter((item) => item !== first))) yield [first, ...rest];
  }
}

function* everyChoice<T>(lists: readonly T[][]): Generator<T[]> {
  const [first, ...rest] = lists;
  if (first === undefined) yield [];
  for (const choice of first ?? []) for (const others of everyChoice(rest)) yield [choice, ...others];
}
