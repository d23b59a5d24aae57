/**
 * I/O: writes the golden vectors, `node test/kernels/golden/make.ts`. Run it only when docs/reference/arithmetic.md
 * changes on purpose: the vectors are what keeps the reference and the native kernels from drifting together.
 */

import { writeFileSync } from "node:fs";
import type { KvFormat } from "../../../src/kernels/mod.ts";
import { adapterCase } from "../adapter-cases.ts";
import { attentionCase } from "../attention-cases.ts";
import {
  elementwiseCase,
  embedCase,
  formats,
  linearCase,
  normCase,
  quantizeCase,
  ropeCase,
} from "../cases.ts";
import { referenceDevice } from "../devices.ts";
import { type KernelCase, runCase } from "../kernel-case.ts";
import { layerCase } from "../layer-cases.ts";
import { Random } from "../random.ts";
import { splitCase } from "../split-cases.ts";
import { encodeGolden } from "./codec.ts";

const seeds: readonly number[] = [1, 2, 3];

const makers: Readonly<Record<string, (random: Random) => KernelCase>> = {
  "linear-f16": (random) =>
    linearCase(random, { format: "f16", rows: 18, columns: 96, segments: 3 }, { style: "outliers" }),
  "linear-i8": (random) =>
    linearCase(random, { format: "i8", rows: 18, columns: 300, segments: 3 }, { style: "outliers" }),
  "linear-i4": (random) =>
    linearCase(random, { format: "i4", rows: 18, columns: 150, segments: 3 }, { style: "outliers" }),
  "linear-split": (random) =>
    splitCase(random, () => [2, 3], { format: random.pick(formats), rows: 17, columns: 100, segments: 5 })
      .split,
  quantize: (random) => quantizeCase(random, { segments: 1, length: 84, style: "outliers" }),
  embed: (random) => embedCase(random, { format: random.pick(formats), rows: 18, columns: 150, segments: 3 }),
  norm: normCase,
  rope: ropeCase,
  adapters: adapterCase,
  layer: layerCase,
  elementwise: elementwiseCase,
  "attention-f16": (random) => chunkedAttention(random, "f16"),
  "attention-i8": (random) => chunkedAttention(random, "i8"),
  "attention-f32": (random) => chunkedAttention(random, "f32"),
};

/** Just over one chunk of positions. */
function chunkedAttention(random: Random, format: KvFormat): KernelCase {
  const positions = random.between(258, 300);
  return attentionCase(random, {
    format,
    layers: 1,
    kvHeads: 1,
    queryHeads: 3,
    headDim: 4,
    positions,
    style: "gentle",
  });
}

for (const [name, make] of Object.entries(makers)) {
  const vectors = [];
  for (const seed of seeds) {
    const test = make(new Random(seed));
    vectors.push({ test, outcome: await runCase(referenceDevice.open(), test) });
  }
  writeFileSync(new URL(`${name}.json`, import.meta.url), encodeGolden(vectors));
}
