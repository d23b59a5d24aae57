/** What the journal keeps of a stream as it begins, in JSON: enough for another server to draw the same events. */

import { z } from "zod";
import type { Identity } from "../../capability/mod.ts";
import type { Order } from "../orders.ts";

/** A stream as it was opened. */
export interface Opening {
  readonly order: Order;
  /** Of the model, which has to be the same to the last byte; undefined: not known. */
  readonly root: string | undefined;
  /** The request's id, and whose it was. */
  readonly request: string;
  readonly tenant: string;
  /** Of the capability token that it came with: not the token, which is its bearer's alone. */
  readonly identity: Identity | undefined;
  /** Leaf hashes of the answers' open entries in the ledger, in hexadecimal; undefined: they are not recorded. */
  readonly records: readonly string[] | undefined;
  /** Milliseconds since 1970, and how long it may take from then on. */
  readonly openedAt: number;
  readonly timeoutMs: number;
}

const count = z.int().min(0);
const token = count.max(0x7fffffff);
const text = z.string();
/** JSON leaves out what is undefined. */
const maybe = <T>(schema: z.ZodType<T>): z.ZodType<T | undefined> =>
  schema.optional().transform((value): T | undefined => value);

const samplingSchema = z.strictObject({
  temperature: z.number(),
  topK: count,
  topP: z.number(),
  minP: z.number(),
  repetitionPenalty: z.number(),
  repetitionWindow: count,
  frequencyPenalty: z.number(),
  presencePenalty: z.number(),
  logitBias: z.array(z.tuple([token, z.number()])),
  logprobs: maybe(count),
  seed: count,
  choice: z.literal(0),
});

const orderSchema = z.strictObject({
  kind: z.enum(["chat", "completion"]),
  head: z.strictObject({
    id: text,
    created: count,
    model: text,
    fingerprint: text,
    seed: count,
    date: maybe(text),
  }),
  prompts: z
    .array(z.strictObject({ tokens: z.array(token).min(1), maxTokens: count.min(1) }))
    .min(1)
    .max(128),
  choices: count.min(1).max(16),
  answer: z.strictObject({
    sampling: samplingSchema,
    stopStrings: z.array(text),
    stopTokens: z.array(token),
    ignoreEnd: z.boolean(),
    adapter: maybe(text),
  }),
  includeUsage: z.boolean(),
  priority: z.int(),
});

const meterSchema = z.strictObject({
  block: count,
  counts: z.enum(["tokens", "requests"]),
  limit: count,
  seconds: maybe(count),
});

const openingSchema = z.strictObject({
  v: z.literal(1),
  order: orderSchema,
  root: maybe(text),
  request: text.max(128),
  tenant: text.max(64),
  identity: maybe(
    z.strictObject({
      tenant: text,
      revocationIds: z.array(text).max(128),
      meters: z.array(meterSchema).max(1024),
    }),
  ),
  records: maybe(z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(2048)),
  openedAt: count,
  timeoutMs: z.number().positive(),
});

export function writeOpening({ order, ...rest }: Opening): string {
  const prompts = order.prompts.map(({ tokens, maxTokens }) => ({ tokens: [...tokens], maxTokens }));
  return JSON.stringify({ v: 1, ...rest, order: { ...order, prompts } });
}

/** Undefined: it is malformed, or of another version. */
export function readOpening(json: string): Opening | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  const { data } = openingSchema.safeParse(value);
  if (data === undefined) return undefined;
  const prompts = data.order.prompts.map(({ tokens, maxTokens }) => ({
    tokens: Int32Array.from(tokens),
    maxTokens,
  }));
  const { v: _, ...opening } = data;
  return { ...opening, order: { ...opening.order, prompts } };
}
