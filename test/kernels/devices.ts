/** The devices there are to compare with the reference. */

import { type Device, nativeInstructionSets, openNativeDevice, ReferenceDevice } from "../../src/kernels/mod.ts";

export interface DeviceChoice {
  readonly name: string;
  open(): Device;
}

export const referenceDevice: DeviceChoice = { name: "reference", open: () => new ReferenceDevice() };

/** Every instruction set of this machine, with one and two threads; empty without a native core. */
export const nativeDevices: readonly DeviceChoice[] = nativeInstructionSets().flatMap((isa) =>
  [1, 2].map((threads) => ({
    name: `cpu-${isa}, ${threads} threads`,
    open: () => openNativeDevice({ threads, isa }),
  })),
);
