/** Checkpoints: a log's name, size and root, as the text of a signed note (C2SP tlog-checkpoint). */

import { ClawError } from "../base/mod.ts";
import { fromBase64, readDecimal, toBase64 } from "./bytes.ts";
import { HASH_BYTES, type TreeHead } from "./merkle.ts";

export interface Checkpoint extends TreeHead {
  readonly origin: string;
}

/** The note's text: three lines. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** Extension lines are allowed and passed over. Errors: E_NOTE. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, ...extensions] = text.endsWith("\n") ? text.slice(0, -1).split("\n") : [];
  const [count, hash] = [readDecimal(size ?? ""), fromBase64(root ?? "")];
  const complete =
    origin !== undefined && origin !== "" && count !== undefined && hash?.length === HASH_BYTES;
  if (!complete || extensions.includes("")) {
    throw new ClawError("E_NOTE", "The checkpoint is not the three lines origin, size and root.");
  }
  return { origin, size: count, root: hash };
}
