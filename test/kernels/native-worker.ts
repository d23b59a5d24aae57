/** A worker that keeps a device busy until it is terminated. */

import { parentPort } from "node:worker_threads";
import { openNativeDevice } from "../../src/kernels/mod.ts";
import { attentionCase } from "./attention-cases.ts";
import { runCase } from "./kernel-case.ts";
import { Random } from "./random.ts";

const device = openNativeDevice({ threads: 2 });
const idle = openNativeDevice({ threads: 2 });
const random = new Random(1);
const shape = { format: "f16" as const, layers: 2, kvHeads: 2, queryHeads: 8, headDim: 64, positions: 700 };
await runCase(idle, attentionCase(random));
for (;;) {
  await runCase(device, attentionCase(random, shape));
  parentPort?.postMessage("stepped");
}
