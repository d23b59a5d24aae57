/** Entries to append: those that end a stream, as the ledger keeps them, none like another and all of one size. */

import { assert } from "../../base/mod.ts";
import { utf8 } from "../../crypto/mod.ts";
import { type CloseEntry, encodeEntry } from "../../records/mod.ts";

/** Smallest size that can be asked for: an entry with every field is not smaller, whatever its nodes are called. */
export const ENTRY_BYTES_MIN = 1280;

const STREAM_DIGITS = 32;
/** Letters of a node's name at most, and what stands around it in a list. */
const NAME_MAX = 200;
const NAME_AROUND = 3;

const digest = "ab".repeat(32);

const close: CloseEntry = {
  v: 1,
  kind: "close",
  stream: "5".repeat(STREAM_DIGITS),
  time: 1_764_000_000_000,
  request: "0".repeat(36),
  tenant: "owner",
  model: { root: digest, source: "seal" },
  engine: { version: "0.1.0", format: "i8", kv_format: "f16", arithmetic: 1 },
  nodes: [],
  revocations: [digest],
  sampling: {
    temperature: 1,
    top_k: 40,
    top_p: 1,
    min_p: 0,
    repetition_penalty: 1,
    repetition_window: 64,
    frequency_penalty: 0,
    presence_penalty: 0,
    logit_bias: [],
    seed: 2 ** 53 - 1,
    choice: 0,
    max_tokens: 256,
    stop_tokens: [2],
  },
  prompt: { commitment: digest, tokens: 1024 },
  previous: digest,
  tokens: 256,
  running: digest,
  output: digest,
  finish: "length",
};

/** Encoded once, so that appending is what is measured; then each gets a stream of its own. */
export class SampleEntries {
  readonly #bytes: Uint8Array;
  readonly #stream: number;

  /** Errors: E_ENTRY beyond what an entry may have. */
  constructor(bytes: number) {
    assert(bytes >= ENTRY_BYTES_MIN, `A sample has at least ${ENTRY_BYTES_MIN} bytes.`);
    const bare = encodeEntry(close).length;
    this.#bytes = encodeEntry({ ...close, nodes: namesOf(bytes - bare) });
    this.#stream = Buffer.from(this.#bytes).indexOf(close.stream);
    assert(this.#bytes.length === bytes && this.#stream > 0, "A sample is as long as was asked for.");
  }

  at(sequence: number): Uint8Array {
    const entry = this.#bytes.slice();
    entry.set(utf8(sequence.toString(16).padStart(STREAM_DIGITS, "0")), this.#stream);
    return entry;
  }
}

/** Names of nodes that make a list without any so many bytes longer. */
function namesOf(bytes: number): string[] {
  const names: string[] = [];
  // No comma stands before the first.
  for (let left = bytes + 1; left > 0; ) {
    const last = left <= NAME_MAX + NAME_AROUND;
    const letters = last ? left - NAME_AROUND : Math.min(NAME_MAX, left - 2 * NAME_AROUND - 1);
    names.push("n".repeat(letters));
    left -= letters + NAME_AROUND;
  }
  return names;
}
