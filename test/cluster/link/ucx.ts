/** Whether links over UCX can be had here. */

import type { ClawError } from "../../../src/base/mod.ts";
import { nativeAvailable, requireUcx } from "../../../src/kernels/mod.ts";

/** Why not, as the names of tests say it; empty where they can. */
export function ucxMissing(): string {
  if (!nativeAvailable()) return " (skipped: the native core is not built)";
  try {
    requireUcx();
    return "";
  } catch (error) {
    return ` (skipped: ${(error as ClawError).message})`;
  }
}
