import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import {
  type ClusterDescription,
  keepOrPlan,
  type ModelCosts,
  modelCosts,
  type PlanConstraints,
  type Planned,
  parseCluster,
  planCluster,
  predictPlan,
} from "../../src/cluster/mod.ts";
import { describePreset } from "../../src/model/mod.ts";
import { ofCases } from "../long.ts";
import { everyPlan, smallClusters, smallModels } from "./clusters.ts";

const seed = Number(process.env["CLAW_TEST_SEED"] ?? 71);

/** The plan, or undefined where none fits; other errors are thrown. */
function planned(
  cluster: ClusterDescription,
  model: ModelCosts,
  constraints?: PlanConstraints,
): Planned | undefined {
  try {
    return planCluster(cluster, model, constraints);
  } catch (error) {
    if (error instanceof ClawError && error.code === "E_PLAN") return undefined;
    throw error;
  }
}

function secondsOf(cluster: ClusterDescription, model: ModelCosts, constraints?: PlanConstraints): number {
  return planned(cluster, model, constraints)?.prediction.secondsPerToken ?? Number.POSITIVE_INFINITY;
}

function fastestOfAll(cluster: ClusterDescription, model: ModelCosts, constraints?: PlanConstraints): number {
  let fastest = Number.POSITIVE_INFINITY;
  for (const plan of everyPlan(cluster, model, constraints)) {
    const { secondsPerToken, ranks } = predictPlan(plan, cluster, model);
    const fits = ranks.every(({ memoryBytes, memoryBytesMax }) => memoryBytes <= memoryBytesMax);
    if (fits) fastest = Math.min(fastest, secondsPerToken);
  }
  return fastest;
}

/** Equal but for the order in which the terms were added. */
function expectSame(actual: number, expected: number): void {
  if (expected === Number.POSITIVE_INFINITY) expect(actual).toBe(expected);
  else expect(Math.abs(actual - expected)).toBeLessThanOrEqual(expected * 1e-9);
}

describe("against every plan there is", () => {
  const seen = { feasible: 0, infeasible: 0, tensor: 0, pipeline: 0, both: 0, uneven: 0, unused: 0 };
  const count = (found: Planned | undefined): void => {
    if (found === undefined) {
      seen.infeasible++;
      return;
    }
    seen.feasible++;
    const { stages } = found.plan;
    const shared = stages.filter(({ ranks }) => ranks.length > 1);
    if (shared.length > 0) seen.tensor++;
    if (stages.length > 1) seen.pipeline++;
    if (shared.length > 0 && stages.length > 1) seen.both++;
    const sizes = shared.map(({ ranks }) => new Set(ranks.map(({ ffn }) => ffn[1] - ffn[0])).size);
    if (sizes.some((different) => different > 1)) seen.uneven++;
    if (found.unused.length > 0) seen.unused++;
  };

  test("three nodes, and four, with and without prescribed degrees", () => {
    const degree = fc.option(fc.integer({ min: 1, max: 3 }), { freq: 1, nil: undefined });
    const constraints = fc.record({ tensorParallelismDegree: degree, pipelineParallelismDegree: degree });
    const equal = (cluster: ClusterDescription, model: ModelCosts, prescribed: PlanConstraints): void => {
      const found = planned(cluster, model, prescribed);
      if (found !== undefined) expect(found.optimal).toBe(true);
      expectSame(
        found?.prediction.secondsPerToken ?? Number.POSITIVE_INFINITY,
        fastestOfAll(cluster, model, prescribed),
      );
      count(found);
    };
    const three = smallModels({ layers: 4, segments: 4 });
    fc.assert(fc.property(smallClusters(3), three, fc.constant({}), equal), {
      seed,
      numRuns: ofCases(500, 0.5),
    });
    fc.assert(fc.property(smallClusters(3), three, constraints, equal), { seed, numRuns: ofCases(300, 0.5) });
    const both = { tensorParallelismDegree: 2, pipelineParallelismDegree: 2 };
    const four = fc.constantFrom<PlanConstraints>({}, both, both);
    const small = smallModels({ layers: 3, segments: 3 });
    fc.assert(fc.property(smallClusters(4, 4), small, four, equal), { seed, numRuns: ofCases(240, 0.5) });
    expect(seen.feasible).toBeGreaterThan(ofCases(150, 0.5));
    expect(seen.infeasible).toBeGreaterThan(ofCases(50, 0.5));
    expect(seen.tensor).toBeGreaterThan(ofCases(20, 0.5));
    expect(seen.pipeline).toBeGreaterThan(ofCases(15, 0.5));
    expect(seen.both).toBeGreaterThanOrEqual(ofCases(4, 0.5));
    expect(seen.uneven).toBeGreaterThanOrEqual(ofCases(6, 0.5));
    expect(seen.unused).toBeGreaterThan(ofCases(50, 0.5));
  });
});

describe("what holds for every plan", () => {
  const models = smallModels({ layers: 8, segments: 8 });
  const clusters = smallClusters(6);
  const check = (property: fc.IProperty<[ClusterDescription, ModelCosts, number]>): void =>
    fc.assert(property, { seed, numRuns: ofCases(120, 0.5) });
  const cases = (body: (cluster: ClusterDescription, model: ModelCosts, pick: number) => void) =>
    fc.property(clusters, models, fc.nat(), body);

  test("never slower than the best single node that fits; the memory of no node is exceeded", () => {
    let together = 0;
    check(
      cases((cluster, model) => {
        const found = planned(cluster, model);
        for (const node of cluster.nodes) {
          const alone = secondsOf({ nodes: [node], links: [] }, model);
          expect(found?.prediction.secondsPerToken ?? Infinity).toBeLessThanOrEqual(alone * (1 + 1e-9));
        }
        for (const rank of found?.prediction.ranks ?? []) {
          expect(rank.memoryBytes).toBeLessThanOrEqual(rank.memoryBytesMax);
        }
        if ((found?.prediction.ranks.length ?? 0) > 1) together++;
      }),
    );
    expect(together).toBeGreaterThan(ofCases(20, 0.5));
  });

  test("a faster link, a faster node or more memory never gives a slower plan; a node more neither", () => {
    let improved = 0;
    check(
      cases((cluster, model, pick) => {
        const before = secondsOf(cluster, model);
        for (const better of improvements(cluster, pick)) {
          const after = secondsOf(better, model);
          expect(after).toBeLessThanOrEqual(before * (1 + 1e-9));
          if (after < before) improved++;
        }
      }),
    );
    expect(improved).toBeGreaterThan(ofCases(20, 0.5));
  });

  test("the same plan in whatever order nodes and links are listed", () => {
    check(
      cases((cluster, model) => {
        const reversed = {
          nodes: cluster.nodes.toReversed(),
          links: cluster.links.toReversed().map((link) => ({ ...link, between: swapped(link.between) })),
        };
        expect(planned(reversed, model)).toEqual(planned(cluster, model));
      }),
    );
  });
});

const swapped = ([a, b]: readonly [string, string]): [string, string] => [b, a];

function improvements({ nodes, links }: ClusterDescription, pick: number): ClusterDescription[] {
  const chosen = pick % nodes.length;
  const changed = (change: (node: ClusterDescription["nodes"][number]) => object): ClusterDescription => ({
    nodes: nodes.map((node, index) => (index === chosen ? { ...node, ...change(node) } : node)),
    links,
  });
  const list = [
    changed((node) => ({ memoryBytes: node.memoryBytes * 2 + 50 })),
    changed((node) => ({
      formats: {
        i8: {
          bytesPerSecond: node.formats.i8!.bytesPerSecond * 3,
          multiplyAddsPerSecond: node.formats.i8!.multiplyAddsPerSecond * 2,
        },
      },
    })),
    { nodes: [...nodes, { ...nodes[chosen]!, name: "more" }], links },
  ];
  const link = links[pick % Math.max(1, links.length)];
  if (link === undefined) return list;
  const faster = {
    ...link,
    latencySeconds: link.latencySeconds / 4,
    bytesPerSecond: link.bytesPerSecond * 5,
  };
  return [...list, { nodes, links: links.map((other) => (other === link ? faster : other)) }];
}

const GB = 1e9;

/** Nodes such as the one that docs/verified.md measured, on a network of so many bits per second. */
function office(
  memory: readonly number[],
  { gigabits, latencySeconds }: { gigabits: number; latencySeconds: number },
) {
  const speed = { bytesPerSecond: 50 * GB, multiplyAddsPerSecond: 500 * GB };
  return {
    nodes: memory.map((gigabytes, index) => ({
      name: `node-${String(index).padStart(2, "0")}`,
      memoryBytes: gigabytes * GB,
      formats: { i8: speed, i4: speed, f16: speed },
      kvBytesPerSecond: 20 * GB,
      layerSeconds: 10e-6,
    })),
    links: [],
    network: { latencySeconds, bytesPerSecond: (gigabits * GB) / 8 },
  };
}

describe("models and networks as there are", () => {
  const load = { rows: 1, context: 4096, format: "i8", kvFormat: "f16" } as const;
  const costs70 = modelCosts(describePreset("llama-70b"), load);
  const costs1 = modelCosts(describePreset("llama-1b"), load);

  test("fast links share layers, slow ones do not, and a node that would slow the others is left out", () => {
    const fast = planCluster(office([8, 8], { gigabits: 100, latencySeconds: 3e-6 }), costs1);
    expect(fast.plan.stages.map(({ ranks }) => ranks.length)).toEqual([2]);
    const slow = planCluster(office([8, 8], { gigabits: 1, latencySeconds: 1e-3 }), costs1);
    expect(slow.plan.stages.map(({ ranks }) => ranks.length)).toEqual([1]);
    expect(slow.unused).toEqual(["node-01"]);
    const uneven = office([8, 8], { gigabits: 100, latencySeconds: 3e-6 });
    const [first, second] = uneven.nodes;
    const lame = { ...second!, formats: { i8: { bytesPerSecond: GB, multiplyAddsPerSecond: 10 * GB } } };
    expect(planCluster({ ...uneven, nodes: [first!, lame] }, costs1).unused).toEqual(["node-01"]);
  });

  test("70B on eight small nodes: every byte has room, and slow links are crossed as rarely as can be", () => {
    const cluster = office([16, 16, 16, 16, 16, 16, 16, 16], { gigabits: 1, latencySeconds: 1e-2 });
    const { plan, prediction, unused } = planCluster(cluster, costs70);
    expect(plan.stages.every(({ ranks }) => ranks.length === 1)).toBe(true);
    expect(plan.stages.at(-1)?.layers[1]).toBe(80);
    // Some 75 GB of weights and 1.3 GB of keys and values: five nodes, and as many messages.
    expect(plan.stages).toHaveLength(5);
    expect(unused).toHaveLength(3);
    expect(prediction.messageWaits).toBe(5);
    expect(prediction.tokensPerSecond).toBeGreaterThan(0.5);
    expect(prediction.tokensPerSecond).toBeLessThan(0.75);
  });

  test("sixteen nodes are planned, too: not worse than the same with four, in bounded time", () => {
    const fast = { gigabits: 100, latencySeconds: 5e-6 };
    const { prediction } = planCluster(
      office(
        Array.from({ length: 16 }, () => 16),
        fast,
      ),
      costs70,
    );
    expect(prediction.secondsPerToken).toBeLessThan(
      secondsOf(
        office(
          Array.from({ length: 5 }, () => 16),
          fast,
        ),
        costs70,
      ),
    );
  });

  test("what no split fits is refused with the bytes that every node lacks", () => {
    const network = { gigabits: 10, latencySeconds: 1e-4 };
    const cluster = office([16, 24], network);
    let message = "";
    try {
      planCluster(cluster, costs70);
    } catch (error) {
      expect((error as ClawError).code).toBe("E_PLAN");
      message = (error as ClawError).message;
    }
    expect(message).toContain("node-00 has 16000000000");
    const missing = Number(/with (\d+) bytes more on every node/.exec(message)?.[1]) / GB;
    expect(missing).toBeGreaterThan(17);
    expect(planned(office([16 + missing, 24 + missing], network), costs70)).toBeDefined();
    const short = missing - 2 ** 21 / GB;
    expect(planned(office([16 + short, 24 + short], network), costs70)).toBeUndefined();
  });

  test.each([
    [{ tensorParallelismDegree: 16 }, "8 attention and 8 FFN segments"],
    [{ pipelineParallelismDegree: 81 }, "80 layers"],
    [{ tensorParallelismDegree: 2, pipelineParallelismDegree: 2 }, "need 4 nodes; 3 were"],
  ])("%j is refused: %s", (constraints, problem) => {
    const cluster = office([99, 99, 99], { gigabits: 10, latencySeconds: 1e-4 });
    expect(() => planCluster(cluster, costs70, constraints)).toThrow(problem);
  });

  test("costs are those of the packed weights", () => {
    const held = (costs: ModelCosts): number =>
      costs.layers *
        (costs.attention.segments * costs.attention.weightBytes +
          costs.ffn.segments * costs.ffn.weightBytes) +
      costs.embeddingBytes;
    // As `claw serve` reports them for this preset: 1,039 million weights at 8.5 and 4.53 bits.
    expect(held(costs1) / 1.0386e9).toBeCloseTo(8.5 / 8, 2);
    const costs4 = modelCosts(describePreset("llama-1b"), { ...load, format: "i4" });
    expect(held(costs4) / 1.0386e9).toBeCloseTo(0.54, 1);
    expect(costs1.attention.segments * costs1.attention.kvBytes).toBe(4096 * 8 * 64 * 2 * 2);
  });
});

describe("a plan in force", () => {
  const load = { rows: 1, context: 4096, format: "i8", kvFormat: "f16" } as const;
  const costs = modelCosts(describePreset("llama-8b"), load);
  const network = { gigabits: 10, latencySeconds: 1e-4 };
  const three = office([6, 6, 6], network);
  const task = (description: ClusterDescription, constraints?: PlanConstraints) => {
    return { description, costs, constraints };
  };
  const { plan } = planCluster(three, costs);
  const faster = (times: number): ClusterDescription => ({
    ...three,
    nodes: three.nodes.map((node, index) => {
      const { bytesPerSecond, multiplyAddsPerSecond } = node.formats.i8;
      const i8 = { bytesPerSecond: bytesPerSecond * times, multiplyAddsPerSecond };
      return index === 2 ? { ...node, memoryBytes: 16 * GB, formats: { i8 } } : node;
    }),
  });

  test("stays where hardly any is faster, and goes where one is", () => {
    expect(planCluster(faster(1.02), costs).plan).not.toEqual(plan);
    expect(keepOrPlan(task(faster(1.02)), plan).plan).toEqual(plan);
    const better = planCluster(faster(4), costs).plan;
    expect(keepOrPlan(task(faster(4)), plan).plan).toEqual(better);
    expect(better).not.toEqual(plan);
  });

  test("goes where it no longer fits: a node gone, less memory, no link, another model or degree", () => {
    expect(keepOrPlan(task(three), plan).plan).toEqual(plan);
    const used = plan.stages.flatMap(({ ranks }) => ranks.map(({ node }) => node));
    expect(used).toContain("node-00");
    const misfits: [string, ClusterDescription, PlanConstraints?][] = [
      ["gone", { ...three, nodes: three.nodes.slice(1) }],
      [
        "smaller",
        { ...three, nodes: three.nodes.map((node, i) => (i === 0 ? { ...node, memoryBytes: 1e9 } : node)) },
      ],
      ["prescribed", three, { pipelineParallelismDegree: 3 }],
    ];
    for (const [what, description, constraints] of misfits) {
      const { plan: next } = keepOrPlan(task(description, constraints), plan);
      expect(next, what).toEqual(planCluster(description, costs, constraints).plan);
      expect(next, what).not.toEqual(plan);
    }
    const apart = {
      nodes: three.nodes,
      links: [{ between: ["node-01", "node-02"], ...linkOf(network) }],
    } as const;
    expect(keepOrPlan(task(apart), plan).plan.stages[0]?.ranks[0]?.node).not.toBe("node-00");
    const other = modelCosts(describePreset("llama-3b"), load);
    expect(keepOrPlan({ description: three, costs: other }, plan).plan.model).toBe(other.name);
  });
});

function linkOf({ gigabits, latencySeconds }: { gigabits: number; latencySeconds: number }) {
  return { latencySeconds, bytesPerSecond: (gigabits * GB) / 8 };
}

test("a prediction is the sum that can be made by hand", () => {
  const half = { sharedWeightBytes: 0, sharedMultiplyAdds: 0, sharedKvBytes: 0, segments: 4 };
  const costs: ModelCosts = {
    ...{ name: "m", format: "i8", layers: 3, rows: 2, tiedOutput: false },
    attention: { ...half, weightBytes: 10, multiplyAdds: 1, kvBytes: 5 },
    ffn: { ...half, weightBytes: 20, multiplyAdds: 100, kvBytes: 0 },
    ...{
      embeddingBytes: 7,
      outputBytes: 30,
      outputMultiplyAdds: 1,
      nodeBytes: 2,
      residualBytes: 8,
      tokenBytes: 4,
    },
  };
  const machine = (name: string, bytesPerSecond: number) => ({
    name,
    memoryBytes: 1000,
    formats: { i8: { bytesPerSecond, multiplyAddsPerSecond: 100 } },
    kvBytesPerSecond: 5,
    layerSeconds: 2,
  });
  const cluster = {
    nodes: [machine("a", 10), machine("b", 30), machine("c", 20)],
    links: [
      { between: ["a", "b"], latencySeconds: 1, bytesPerSecond: 8 },
      { between: ["b", "c"], latencySeconds: 3, bytesPerSecond: 4 },
      { between: ["a", "c"], latencySeconds: 9, bytesPerSecond: 4 },
    ],
  } as const;
  const prediction = predictPlan(
    {
      model: "m",
      format: "i8",
      stages: [
        {
          layers: [0, 2],
          ranks: [
            { node: "a", attention: [0, 1], ffn: [0, 2] },
            { node: "b", attention: [1, 4], ffn: [2, 4] },
          ],
        },
        { layers: [2, 3], ranks: [{ node: "c", attention: [0, 4], ffn: [0, 4] }] },
      ],
      output: "c",
    },
    cluster,
    costs,
  );
  // Attention: b reads 30 bytes of weights at 30 and 15 of keys at 5, and its half of the layer's two seconds. FFN: 200
  // rows times multiply-adds at 100 bind both, 4 s, and 1. On c: 2 + 4 + 1 and 8 + 1.
  expect(prediction.computeSeconds).toBe(2 * (5 + 5) + (2 + 4 + 1) + (8 + 1));
  // Ranges 0-1 and 1-4 are 1 and 2 subtrees of a tree over 4, so the slower way carries 16 bytes; 0-2 and 2-4 are 1 and 1.
  expect(prediction.exchangeSeconds).toBe(2 * (1 + 2 + 1 + 1));
  // From b, the nearer one; and a token from c to a and b, the slower counts.
  expect(prediction.hopSeconds).toBe(3 + 2 + 9 + 1);
  expect(prediction.outputSeconds).toBe(1.5);
  expect(prediction.secondsPerToken).toBe(36 + 10 + 15 + 1.5);
  expect(prediction.messageWaits).toBe(2 * 2 + 2);
  expect(prediction.ranks.map(({ memoryBytes }) => memoryBytes)).toEqual([
    2 * (15 + 40) + 9,
    2 * (45 + 40) + 9,
    60 + 80 + 32,
  ]);
  expect(prediction.pipelineTokensPerSecond).toBe(2 / 30);
});

describe("the description of nodes", () => {
  const good = office([16, 16], { gigabits: 1, latencySeconds: 1e-3 });
  const link = { between: ["node-00", "node-01"], latencySeconds: 0, bytesPerSecond: 1 };

  test("is read", () => {
    expect(parseCluster(JSON.stringify(good))).toEqual(good);
  });

  test.each([
    ["[", "not JSON"],
    ["null", "wrong at it"],
    [" ".repeat(2 ** 20 + 1), "too many"],
    [{ ...good, nodes: [] }, "nodes"],
    [{ ...good, nodes: [{ ...good.nodes[0], memoryBytes: -1 }] }, "nodes.0.memoryBytes"],
    [{ ...good, nodes: [{ ...good.nodes[0], name: "a.b" }] }, "nodes.0.name"],
    [{ ...good, nodes: [good.nodes[0], good.nodes[0]] }, "the same name"],
    [{ ...good, extra: 1 }, "extra"],
    [
      { ...good, nodes: Array.from({ length: 31 }, (_, i) => ({ ...good.nodes[0], name: `n${i}` })) },
      "nodes",
    ],
    [{ ...good, links: [{ ...link, between: ["node-00", "other"] }] }, "other"],
    [{ ...good, links: [{ ...link, between: ["node-00", "node-00"] }] }, "to itself"],
    [{ ...good, links: [link, { ...link, between: ["node-01", "node-00"] }] }, "two links"],
    [{ ...good, links: [{ ...link, bytesPerSecond: 0 }] }, "links.0.bytesPerSecond"],
  ])("a description is refused: %$", (document, problem) => {
    const text = typeof document === "string" ? document : JSON.stringify(document);
    expect(() => parseCluster(text)).toThrow(problem);
  });

  test("no node measured in the format", () => {
    const [node] = good.nodes;
    const cluster = { nodes: [{ ...node!, formats: {} }], links: [] };
    const costs = modelCosts(describePreset("llama-tiny"), {
      ...{ rows: 1, context: 64, format: "i8", kvFormat: "f16" },
    });
    expect(() => planCluster(cluster, costs)).toThrow("None of the 1 nodes was measured with i8.");
  });
});
