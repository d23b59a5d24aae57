/** The devices there are to compare with the reference. */

import {
  type Device,
  nativeInstructionSets,
  openNativeDevice,
  ReferenceDevice,
} from "../../src/kernels/mod.ts";

export interface DeviceChoice {
  readonly name: string;
  open(): Device;
}

export const referenceDevice: DeviceChoice = { name: "reference", open: () => new ReferenceDevice() };

/** More threads than some machines have: what takes turns on one processor must still end, with the same bits. */
const threadCounts: readonly number[] = [1, 2, 5];

/** Attention of fewer rows and heads than this is shared between chunks where there are several. */
export const threadsMost: number = Math.max(...threadCounts);

/** Every instruction set of this machine with few and many threads; empty without a native core. */
export const nativeDevices: readonly DeviceChoice[] = nativeInstructionSets().flatMap((isa) =>
  threadCounts.map((threads) => ({
    name: `cpu-${isa}, ${threads} threads`,
    open: () => openNativeDevice({ threads, isa }),
  })),
);
