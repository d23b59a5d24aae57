/** I/O: chooses and opens the device an engine computes on. */

import { availableParallelism } from "node:os";
import { ClawError } from "../base/mod.ts";
import {
  type Device,
  ensureNative,
  type NativeDeviceOptions,
  openNativeDevice,
  ReferenceDevice,
} from "../kernels/mod.ts";
import type { EngineSettings } from "./settings.ts";

export interface OpenedDevice {
  readonly device: Device;
  /** Why the reference runs although the native core was welcome. */
  readonly warning: string | undefined;
}

/** The native core where it can be had, else (unless it was insisted on) the TypeScript reference. */
export async function openDevice(
  settings: Pick<EngineSettings, "device" | "threads" | "lockMemory" | "pinThreads"> &
    Pick<NativeDeviceOptions, "firstCore">,
): Promise<OpenedDevice> {
  if (settings.device === "reference") return { device: new ReferenceDevice(), warning: undefined };
  const missing = await ensureNative();
  if (missing === undefined) {
    const threads = settings.threads ?? availableParallelism();
    const { lockMemory, pinThreads, firstCore } = settings;
    return { device: openNativeDevice({ threads, lockMemory, pinThreads, firstCore }), warning: undefined };
  }
  if (settings.device === "native") throw new ClawError("E_NATIVE", missing);
  return { device: new ReferenceDevice(), warning: missing };
}
