/** Streams to record, and a store that becomes durable when the test says so. */

import type { Computes, StreamOwner } from "../../src/audit/mod.ts";
import type { RecordStore } from "../../src/audit/stream-record.ts";
import type { Vaulted, VaultPart } from "../../src/audit/vault.ts";
import { ClawError } from "../../src/base/mod.ts";
import { leafHash } from "../../src/crypto/mod.ts";
import {
  defaultSampling,
  type GenerationRequest,
  type TokenEvent,
  type TokenGenerator,
} from "../../src/engine/mod.ts";
import type { Placed } from "../../src/ledger/mod.ts";
import { type Entry, parseEntry } from "../../src/records/mod.ts";

export const computes: Computes = {
  model: { root: "ab".repeat(32), source: "file-sha256" },
  engine: { version: "0.1.0", format: "f16", kv_format: "f32", arithmetic: 3 },
  nodes: ["here"],
};

export const owner: StreamOwner = { request: "r", tenant: "t", revocations: [] };

export function requestFor(maxTokens: number): GenerationRequest {
  return {
    prompt: Int32Array.of(1, 7, 9),
    maxTokens,
    sampling: { ...defaultSampling, seed: 5 },
    stopTokens: [2],
  };
}

/** Draws 100, 101, ... without waiting. */
export const counting: TokenGenerator = {
  async *generate({ maxTokens }) {
    for (let i = 0; i < maxTokens; i++) {
      const finish = i === maxTokens - 1 ? "length" : undefined;
      yield { token: 100 + i, logprob: undefined, top: [], finish } satisfies TokenEvent;
    }
  },
};

interface Waiting {
  readonly settle: () => void;
  readonly refuse: (error: ClawError) => void;
}

/** Durable only what the test lets be: entries in their order, vault parts in any. */
export class SlowStore implements RecordStore {
  readonly entries: Entry[] = [];
  readonly parts: Map<string, object> = new Map();
  /** Tokens that durable entries of the last stream cover; -1: none is durable. */
  covered: number = -1;
  readonly #entriesWaiting: Waiting[] = [];
  readonly #partsWaiting: Waiting[] = [];

  add(bytes: Uint8Array): Promise<Placed> {
    const entry = parseEntry(bytes);
    const placed = { index: this.entries.length + this.#entriesWaiting.length, leaf: leafHash(bytes) };
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.entries.push(entry);
        this.covered = entry.kind === "open" ? 0 : entry.tokens;
        resolve(placed);
      };
      this.#entriesWaiting.push({ settle, refuse: reject });
    });
  }

  put<P extends VaultPart>(stream: string, part: P, value: Vaulted[P]): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.parts.set(`${stream}.${part}`, value);
        resolve();
      };
      this.#partsWaiting.push({ settle, refuse: reject });
    });
  }

  get waiting(): number {
    return this.#entriesWaiting.length + this.#partsWaiting.length;
  }

  /** Makes the oldest entry that waits durable, or the oldest part. */
  advance(what: "entry" | "part"): void {
    (what === "entry" ? this.#entriesWaiting : this.#partsWaiting).shift()?.settle();
  }

  /** What waits is refused. */
  fail(): void {
    const waiting = [...this.#entriesWaiting.splice(0), ...this.#partsWaiting.splice(0)];
    for (const { refuse } of waiting) refuse(new ClawError("E_LEDGER", "The disk is full."));
  }
}
