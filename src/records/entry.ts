/**
 * The ledger's entries: what the log says of each stream of tokens, in canonical JSON. An `open` entry stands before the
 * first token is delivered, a `progress` entry follows every few tokens, and a `close` entry ends the stream and repeats
 * what the open entry said, so that it can be read alone.
 */

import { ClawError } from "../base/mod.ts";
import { utf8 } from "../crypto/mod.ts";
import { canonicalJson, type JsonValue, parseCanonicalJson } from "./canonical.ts";
import {
  checkFields,
  count,
  each,
  type Field,
  hex,
  integer,
  number,
  oneOf,
  optional,
  record,
  text,
  token,
  tuple,
} from "./fields.ts";

/** Bytes of an entry: its length stands in 16 bits in an entry bundle (C2SP tlog-tiles). */
export const ENTRY_BYTES_MAX = 65_535;

const VERSION = 1;

interface Common {
  readonly v: 1;
  /** 16 bytes in hexadecimal that no other stream has. */
  readonly stream: string;
  /** Milliseconds since 1970, never less than in the entry before. */
  readonly time: number;
  /** Milliseconds by which the machine's clock is ahead of `time`, where it was set while the server ran. */
  readonly clock_drift?: number;
}

/** What open and close entries say alike. */
export interface Statement {
  readonly request: string;
  readonly tenant: string;
  /**
   * Leaf hash of the open entry of the stream that this one goes on with, after a server died: it has the same answer from the
   * first token on.
   */
  readonly continues?: string;
  /** A seal's root, or the SHA-256 of the model file where there is no seal. */
  readonly model: { readonly root: string; readonly source: "seal" | "file-sha256" };
  /** The digest of the adapter that was laid over the model, if one was. */
  readonly adapter?: string;
  /** What computes, as far as it decides the bits. */
  readonly engine: {
    readonly version: string;
    readonly format: string;
    readonly kv_format: string;
    /** Of docs/reference/arithmetic.md. */
    readonly arithmetic: number;
  };
  readonly nodes: readonly string[];
  /** Revocation ids of the capability that the request came with. */
  readonly revocations: readonly string[];
  readonly sampling: {
    readonly temperature: number;
    readonly top_k: number;
    readonly top_p: number;
    readonly min_p: number;
    readonly repetition_penalty: number;
    readonly repetition_window: number;
    readonly frequency_penalty: number;
    readonly presence_penalty: number;
    /** Pairs of a token and what is added to its logit. */
    readonly logit_bias: readonly (readonly [number, number])[];
    readonly seed: number;
    readonly choice: number;
    readonly logprobs?: number;
    readonly max_tokens: number;
    readonly stop_tokens: readonly number[];
  };
  readonly prompt: { readonly commitment: string; readonly tokens: number };
}

/** The stream so far. */
interface Progress {
  /** Leaf hash of the stream's entry before this one. */
  readonly previous: string;
  readonly tokens: number;
  /** The running hash of the tokens. */
  readonly running: string;
}

export interface OpenEntry extends Common, Statement {
  readonly kind: "open";
}

export interface ProgressEntry extends Common, Progress {
  readonly kind: "progress";
}

export interface CloseEntry extends Common, Statement, Progress {
  readonly kind: "close";
  /** Commitment to the tokens. */
  readonly output: string;
  /** `left`: the reader had enough, as at a stop string or when the client went. */
  readonly finish: "stop" | "length" | "left" | "error";
  readonly error?: string;
}

export type Entry = OpenEntry | ProgressEntry | CloseEntry;

const common = { v: oneOf(VERSION), stream: hex(16), time: count, clock_drift: optional(integer) };

const statement: Readonly<Record<string, Field>> = {
  request: text(128),
  tenant: text(64),
  continues: optional(hex(32)),
  model: record({ root: hex(32), source: oneOf("seal", "file-sha256") }),
  adapter: optional(hex(32)),
  engine: record({ version: text(64), format: text(16), kv_format: text(16), arithmetic: count }),
  nodes: each(text(255), 1024),
  revocations: each(text(256), 128),
  sampling: record({
    temperature: number,
    top_k: count,
    top_p: number,
    min_p: number,
    repetition_penalty: number,
    repetition_window: count,
    frequency_penalty: number,
    presence_penalty: number,
    logit_bias: each(tuple(token, number), 1024),
    seed: integer,
    choice: count,
    logprobs: optional(count),
    max_tokens: count,
    stop_tokens: each(token, 4096),
  }),
  prompt: record({ commitment: hex(32), tokens: count }),
};

const progress = { previous: hex(32), tokens: count, running: hex(32) };

const ending = {
  output: hex(32),
  finish: oneOf("stop", "length", "left", "error"),
  error: optional(text(64)),
};

const shapes: Readonly<Record<Entry["kind"], Field>> = {
  open: record({ ...common, kind: oneOf("open"), ...statement }),
  progress: record({ ...common, kind: oneOf("progress"), ...progress }),
  close: record({ ...common, kind: oneOf("close"), ...statement, ...progress, ...ending }),
};

/** The entry as the log has it. Errors: E_ENTRY where it is too long or no entry. */
export function encodeEntry(entry: Entry): Uint8Array {
  const value = entry as unknown as JsonValue;
  checkShape(value);
  const bytes = utf8(canonicalJson(value));
  if (bytes.length <= ENTRY_BYTES_MAX) return bytes;
  throw new ClawError("E_ENTRY", `The entry has ${bytes.length} bytes; ${ENTRY_BYTES_MAX} are possible.`);
}

/** Reads an entry and trusts nothing in it. Errors: E_ENTRY for all that `encodeEntry` does not make. */
export function parseEntry(bytes: Uint8Array): Entry {
  if (bytes.length > ENTRY_BYTES_MAX) {
    throw new ClawError("E_ENTRY", `The entry has ${bytes.length} bytes; ${ENTRY_BYTES_MAX} are possible.`);
  }
  const value = parseCanonicalJson(bytes);
  checkShape(value);
  return value as unknown as Entry;
}

/** When an entry was made, as ISO 8601 has it; a time that no calendar has, as the number that it is. */
export function entryTime({ time }: Entry): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}

function checkShape(value: JsonValue): void {
  const kind: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "kind") : undefined;
  if (kind !== "open" && kind !== "progress" && kind !== "close") {
    throw new ClawError("E_ENTRY", "The entry is of no known kind.");
  }
  checkFields(shapes[kind], value, "E_ENTRY");
}
