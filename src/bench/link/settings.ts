/** What both ends of a measured link say of themselves. */

import type { LinkSettings } from "../../cluster/link/mod.ts";
import { fromHex } from "../../crypto/mod.ts";

export function benchSettings(node: string, secret: string): LinkSettings {
  return { secret: fromHex(secret) ?? new Uint8Array(), node, epoch: 1 };
}
