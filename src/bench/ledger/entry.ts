/** Entries to append: canonical JSON with the fields of a request's entry, none like another, of one size. */

import { assert } from "../../base/mod.ts";
import { utf8 } from "../../crypto/mod.ts";

/** Bytes of an entry with every field and no padding, at most. */
export const ENTRY_BYTES_MIN = 1024;

/** Digits of a number that stands where entries differ. */
const DIGITS = 16;

/** The entry number `sequence`, of `bytes` bytes. */
export function sampleEntry(sequence: number, bytes: number): Uint8Array {
  const id = String(sequence).padStart(DIGITS, "0");
  const digest = (name: string): string => `sha256:${(name + id).padStart(64, "0").slice(-64)}`;
  const entry = {
    engine: { epoch: "1", isa: "avx512-vnni", precision: "i8" },
    finished: "2026-01-01T00:00:00.000Z",
    kind: "close",
    model: digest("model"),
    nodes: ["node-a", "node-b"],
    outputCommitment: digest("output"),
    outputTokens: 256,
    padding: "",
    previous: null,
    promptCommitment: digest("prompt"),
    promptTokens: 1024,
    request: `req-${id}`,
    revocations: [digest("capability-1"), digest("capability-2"), digest("capability-3")],
    sampling: {
      frequencyPenalty: 0,
      maxTokens: 256,
      minP: 0,
      presencePenalty: 0,
      temperature: 1,
      topK: 40,
      topP: 1,
    },
    seed: id,
    started: "2026-01-01T00:00:00.000Z",
    tokens: digest("tokens"),
    version: 1,
  };
  const missing = bytes - JSON.stringify(entry).length;
  assert(missing >= 0, `An entry has ${bytes - missing} bytes without padding.`);
  return utf8(JSON.stringify({ ...entry, padding: "x".repeat(missing) }));
}
