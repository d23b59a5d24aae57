/** A process that leaves its devices open, one of them to the collector, and must end by itself after its step. */

import { type Device, OP, openNativeDevice } from "../../src/kernels/mod.ts";
import { f32Buffer } from "./cases.ts";

const device = openNativeDevice({ threads: 2 });

function prepareStep(on: Device): ReturnType<Device["prepare"]> {
  const buffers = [f32Buffer(64), f32Buffer(1, "outputs")];
  const tape = Int32Array.of(OP.ADD, 0, 0, 0, OP.END);
  return on.prepare({ buffers, tape, logits: 1 }, { rows: 1, outputs: 1, pageEntries: 0 });
}

/** The step block alone survives; its memory must too. */
function dropped(): Int32Array {
  return prepareStep(openNativeDevice({ threads: 2 })).step.tokens;
}

const tokens = dropped();
for (let round = 0; round < 5; round++) {
  globalThis.gc?.();
  await new Promise((resolve) => setImmediate(resolve));
}
tokens.fill(1);
prepareStep(device)
  .execute(1, 0)
  .then(() => console.log("stepped"));
