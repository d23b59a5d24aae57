/** A device for each of many ranks of one process: one thread, wherever the scheduler puts it. */

import { type Device, nativeAvailable, openNativeDevice, ReferenceDevice } from "../../src/kernels/mod.ts";

export const native: boolean = nativeAvailable();

/** The native core's where it is built. */
export function openSmallDevice(): Device {
  return native ? openNativeDevice({ threads: 1, pinThreads: "never" }) : new ReferenceDevice();
}
