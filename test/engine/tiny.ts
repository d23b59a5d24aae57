/** A small random model on disk, and the devices there are to run it on. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Device,
  nativeInstructionSets,
  openNativeDevice,
  ReferenceDevice,
} from "../../src/kernels/mod.ts";
import { type Model, openModel, synthesize } from "../../src/model/mod.ts";

export interface TinyModel {
  readonly path: string;
  readonly model: Model;
  remove(): void;
}

/** The `llama-tiny` preset in a folder of its own: 3 layers, width 64, 4 query and 2 KV heads, 512 tokens. */
export function tinyModel(seed = 1): TinyModel {
  const folder = mkdtempSync(join(tmpdir(), "claw-tiny-"));
  const path = join(folder, "tiny.gguf");
  synthesize({ preset: "llama-tiny", type: "f16", outliers: true, seed, out: path });
  const model = openModel(path);
  const remove = (): void => {
    model.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { path, model, remove };
}

export interface DeviceChoice {
  readonly name: string;
  open(): Device;
}

/** Every native instruction set of this machine, with one and two threads; empty without a native core. */
export const nativeDevices: readonly DeviceChoice[] = nativeInstructionSets().flatMap((isa) =>
  [1, 2].map((threads) => ({
    name: `cpu-${isa} x${threads}`,
    open: () => openNativeDevice({ isa, threads }),
  })),
);

export const reference: DeviceChoice = { name: "reference", open: () => new ReferenceDevice() };
