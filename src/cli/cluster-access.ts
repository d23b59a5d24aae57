/** How commands on a cluster come to it. */

import { ClawError } from "../base/mod.ts";
import { type Control, openControl } from "../cluster/mod.ts";
import type { ControlOptions } from "../config/mod.ts";

/** E_USAGE where it is not said where the cluster is, and the errors of `openControl`. */
export function clusterOf(options: ControlOptions, command: string): Promise<Control> {
  const { control, secretFile } = options;
  if (control === undefined || secretFile === undefined) {
    throw new ClawError("E_USAGE", `claw ${command} needs --control URL and --secret-file FILE.`);
  }
  return openControl({ ...options, control, secretFile });
}
