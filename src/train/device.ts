/** Chooses what a run computes on. */

import { ClawError } from "../base/mod.ts";
import { ensureNative, openNativeTraining, type TrainingDevice } from "../kernels/mod.ts";
import { REFERENCE_PARAMETERS_MAX } from "./limits.ts";
import { referenceTraining } from "./reference/mod.ts";

export interface TrainingChoice {
  readonly device: "auto" | "native" | "reference";
  readonly threads: number;
}

export interface OpenedTraining {
  readonly device: TrainingDevice;
  /** Why the reference trains although the native core was welcome. */
  readonly warning: string | undefined;
}

/** The native core where it can be had, else (unless it was insisted on) the TypeScript reference. E_NATIVE. */
export async function openTraining({ device, threads }: TrainingChoice): Promise<OpenedTraining> {
  if (device === "reference") return { device: referenceTraining, warning: undefined };
  const missing = await ensureNative();
  if (missing === undefined) return { device: openNativeTraining({ threads }), warning: undefined };
  if (device === "native") throw new ClawError("E_NATIVE", missing);
  return { device: referenceTraining, warning: missing };
}

/** Refuses what the reference would take days for. E_NATIVE. */
export function requireFitting(device: TrainingDevice, parameters: number): void {
  if (device !== referenceTraining || parameters <= REFERENCE_PARAMETERS_MAX) return;
  throw new ClawError(
    "E_NATIVE",
    `The TypeScript reference trains models of up to ${REFERENCE_PARAMETERS_MAX} parameters, not of ${parameters}.`,
  );
}

/** What a run's fingerprint says of the device: nothing of native ones, which all give the same bits. */
export function arithmeticOf(device: TrainingDevice): readonly string[] {
  return device === referenceTraining ? [referenceTraining.name] : [];
}
