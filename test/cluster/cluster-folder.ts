/** I/O: what processes of a cluster begin with: a model, the cluster's secret, and what a machine is said to be capable of. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeClusterSecret } from "../../src/cluster/mod.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { makeFolder, makeTinyModel } from "../cli/claw.ts";
import { natsHere } from "./nats-server.ts";

/** Whether nodes can join as processes, and, as the names of tests say it, why not. */
export const canJoin: boolean = natsHere && nativeAvailable();
export const joinMissing: string = canJoin ? "" : " (skipped: nats-server or the native core is missing)";

export interface ClusterFolder {
  readonly folder: string;
  /** Files in it. */
  readonly model: string;
  readonly secretFile: string;
  readonly measurements: string;
}

/** `memoryBytes`: what a node may hold of a model, so that one alone may be too small. */
export function makeClusterFolder(memoryBytes: number): ClusterFolder {
  const folder = makeFolder();
  const model = makeTinyModel(folder);
  const secretFile = join(folder, "secret");
  const measurements = join(folder, "measured.json");
  makeClusterSecret(secretFile);
  const formats = { i8: { bytesPerSecond: 1e10, multiplyAddsPerSecond: 1e11 } };
  const measured = { name: "measured", memoryBytes, kvBytesPerSecond: 1e10, layerSeconds: 1e-5, formats };
  writeFileSync(measurements, JSON.stringify(measured));
  return { folder, model, secretFile, measurements };
}
