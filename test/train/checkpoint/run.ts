/** I/O: a run that saves a checkpoint at every step and says which of every eight is durable, until it is killed. */
import { CheckpointWriter, loadCheckpoint } from "../../../src/train/checkpoint/mod.ts";

const [folder = ""] = process.argv.slice(2);
const size = 50_000;
const found = await loadCheckpoint(folder);
const names = ["parameters", "first", "second"];
const writer = new CheckpointWriter(folder, new Map(names.map((name) => [name, size])));
process.stdout.write(`found ${found?.step ?? 0}\n`);
for (let step = (found?.step ?? 0) + 1; ; step++) {
  // A step changes its arrays while the last checkpoint is written.
  const arrays = new Map(names.map((name, i) => [name, new Float32Array(size).fill(step * 3 + i)]));
  await writer.save({ step, arrays, meta: { cursor: { epoch: 0, window: step } } });
  for (const values of arrays.values()) values.fill(-1);
  if (step % 8 === 0) {
    await writer.flush();
    process.stdout.write(`durable ${step}\n`);
  }
}
