/** An entry of each kind. */

import type { CloseEntry, OpenEntry, ProgressEntry } from "../../src/records/mod.ts";

export const open: OpenEntry = {
  v: 1,
  kind: "open",
  stream: "00112233445566778899aabbccddeeff",
  time: 1_764_000_000_000,
  request: "request-1",
  tenant: "owner",
  model: { root: "ab".repeat(32), source: "file-sha256" },
  engine: { version: "0.1.0", format: "f16", kv_format: "f32", arithmetic: 1 },
  nodes: ["local"],
  revocations: [],
  sampling: {
    temperature: 0.7,
    top_k: 0,
    top_p: 1,
    min_p: 0,
    repetition_penalty: 1,
    repetition_window: 64,
    frequency_penalty: 0,
    presence_penalty: 0,
    logit_bias: [[5, -1.5]],
    seed: 2 ** 53 - 1,
    choice: 0,
    max_tokens: 16,
    stop_tokens: [2],
  },
  prompt: { commitment: "cd".repeat(32), tokens: 3 },
};

export const progress: ProgressEntry = {
  v: 1,
  kind: "progress",
  stream: open.stream,
  time: open.time + 1,
  previous: "01".repeat(32),
  tokens: 32,
  running: "23".repeat(32),
};

const { kind: _, ...statement } = open;

export const close: CloseEntry = {
  ...statement,
  kind: "close",
  previous: "01".repeat(32),
  tokens: 3,
  running: "23".repeat(32),
  output: "45".repeat(32),
  finish: "stop",
};
