/** I/O: the machine's name. */

import { hostname } from "node:os";

export const NODE_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** The machine's own name, in the letters that names of nodes have. */
export function machineName(): string {
  const letters = hostname().replaceAll(/[^A-Za-z0-9_-]/g, "-");
  return letters.replace(/^[-_]+/, "").slice(0, 64) || "node";
}
