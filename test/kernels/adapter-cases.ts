/** What adapters add to outputs: rows with and without one, ranks that differ, inputs cut between shards. */

import { OP } from "../../src/kernels/mod.ts";
import { bitsOf, f32Buffer } from "./cases.ts";
import type { KernelCase } from "./kernel-case.ts";
import { type Random, randomValues } from "./random.ts";

const ADAPTERS_MOST = 3;

export function adapterCase(random: Random): KernelCase {
  const segments = random.between(1, 8);
  const length = random.between(1, random.chance(4) ? 90 : 20);
  const outputs = random.between(1, random.chance(4) ? 600 : 60);
  const rows = random.between(1, 6);
  const count = random.between(1, ADAPTERS_MOST);
  const stride = random.between(1, 40);
  // The leaves are found in two parts, as two shards find them.
  const cut = segments > 1 && random.chance(2) ? random.between(1, segments - 1) : undefined;
  const ranges = cut === undefined ? [[0, segments] as const] : [[0, cut] as const, [cut, segments] as const];
  const vectors: Float32Array[] = [];
  const vector = (size: number): string => {
    return `v${vectors.push(randomValues(random, size, "plain")) - 1}`;
  };
  const adapters = Array.from({ length: count }, () => {
    if (random.chance(6)) return undefined;
    const rank = random.between(1, stride);
    const a = ranges.map(([first, end]) => vector((end - first) * length * rank));
    return { rank, a, b: vector(rank * outputs), scale: random.pick([0.25, 1, 2, 1.7]) };
  });
  const down = ranges.flatMap(([first, end], part) => [
    ...[OP.ADAPT_DOWN, 0, 2 + part, first, end - first, stride, count],
    ...adapters.flatMap((each) => (each === undefined ? [-1, 0] : [each.a[part] ?? -1, each.rank])),
  ]);
  const up = [
    ...[OP.ADAPT_UP, 1, 0, stride, count],
    ...adapters.flatMap((each) =>
      each === undefined ? [-1, 0, 0] : [each.b, each.rank, bitsOf(each.scale)],
    ),
  ];
  const inputs = ranges.map(([first, end], part) => {
    const width = (end - first) * length;
    return [2 + part, randomValues(random, rows * width, "plain")] as const;
  });
  return {
    name: `adapters of ${segments} x ${length} to ${outputs}`,
    matrices: [],
    vectors,
    buffers: [
      f32Buffer(segments * stride),
      f32Buffer(outputs),
      ...ranges.map(([first, end]) => f32Buffer((end - first) * length)),
    ],
    steps: [
      {
        tape: [...down, ...up],
        rows,
        outputs: 0,
        adapters: Array.from({ length: rows }, () => random.between(0, count)),
        inputs: [[1, randomValues(random, rows * outputs, "plain")], ...inputs],
        reads: [1],
      },
    ],
  };
}
