/** The texts of the journal's records, in JSON, and how they are read: also those of members are not believed to be well-formed. */

import { z } from "zod";
import {
  ALTERNATIVES_MAX,
  BATCH_TOKENS_MAX,
  CHOICES_MAX,
  ID_CHARS_MAX,
  OPENING_PARTS_MAX,
} from "./limits.ts";

const VERSION = 1;

/** A token as it was drawn: what the engine says of it. */
export interface JournalToken {
  readonly token: number;
  readonly logprob: number | undefined;
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
  /** Set on an answer's last token. */
  readonly finish: "stop" | "length" | undefined;
}

/** Tokens of one answer of a stream. */
export interface TokenBatch {
  readonly choice: number;
  /** How many tokens of the answer come before. */
  readonly from: number;
  readonly tokens: readonly JournalToken[];
}

/** A part of what a stream was opened with. */
export interface OpeningPart {
  readonly id: string;
  readonly part: number;
  readonly parts: number;
  /** Its bytes in base64: letters may be cut. */
  readonly text: string;
}

const count = z.int().min(0);
const token = count.max(0x7fffffff);
const alternative = z.tuple([token, z.number()]);
/** Token, how the answer ended, and where they were asked for log-probability and alternatives. */
const drawn = z.union([
  z.tuple([token]),
  z.tuple([token, z.enum(["stop", "length", ""])]),
  z.tuple([token, z.enum(["stop", "length", ""]), z.number(), z.array(alternative).max(ALTERNATIVES_MAX)]),
]);
type Drawn = z.infer<typeof drawn>;

const tokensSchema = z.strictObject({
  v: z.literal(VERSION),
  batches: z
    .array(z.tuple([count.max(CHOICES_MAX - 1), count, z.array(drawn).max(BATCH_TOKENS_MAX)]))
    .max(CHOICES_MAX),
});

const openingSchema = z.strictObject({
  v: z.literal(VERSION),
  id: z.string().max(ID_CHARS_MAX),
  part: count,
  parts: count.min(1).max(OPENING_PARTS_MAX),
  text: z.base64(),
});

export function writeTokens(batches: readonly TokenBatch[]): Uint8Array {
  const rows = batches.map(({ choice, from, tokens }) => [choice, from, tokens.map(drawnOf)]);
  return Buffer.from(JSON.stringify({ v: VERSION, batches: rows }));
}

/** Undefined: it is malformed, or of another version. */
export function readTokens(text: Uint8Array): TokenBatch[] | undefined {
  const result = tokensSchema.safeParse(parsed(text));
  return result.data?.batches.map(([choice, from, tokens]) => ({
    choice,
    from,
    tokens: tokens.map(tokenOf),
  }));
}

export function writeOpening(part: OpeningPart): Uint8Array {
  return Buffer.from(JSON.stringify({ v: VERSION, ...part }));
}

/** Undefined: it is malformed, or of another version. */
export function readOpening(text: Uint8Array): OpeningPart | undefined {
  const result = openingSchema.safeParse(parsed(text));
  if (result.data === undefined || result.data.part >= result.data.parts) return undefined;
  const { v: _, ...part } = result.data;
  return part;
}

function parsed(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    return undefined;
  }
}

function drawnOf({ token: id, logprob, top, finish }: JournalToken): Drawn {
  if (logprob === undefined) return finish === undefined ? [id] : [id, finish];
  return [id, finish ?? "", logprob, top.map((other) => [other.token, other.logprob])];
}

function tokenOf([id, finish, logprob, top]: Drawn): JournalToken {
  return {
    token: id,
    logprob,
    top: (top ?? []).map(([other, probability]) => ({ token: other, logprob: probability })),
    finish: finish === "" ? undefined : finish,
  };
}
