/**
 * Parameters of OpenAI's API that are not supported, each with the values that ask for nothing: clients send them by
 * default, so they are taken. Any other value is refused by name, and so is every parameter not listed anywhere.
 */

import { z } from "zod";

const ignored = z.unknown();
/** Looks at no element: a long list is refused as quickly as a short one. */
const emptyList = z.custom<readonly never[]>((value) => Array.isArray(value) && value.length === 0);

/** Of both kinds of request. */
const common: Readonly<Record<string, z.ZodType>> = {
  // Whom a request is for makes no difference to the answer.
  user: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
  prompt_cache_retention: ignored,
  metadata: ignored,
  store: z.literal(false),
  service_tier: z.enum(["auto", "default"]),
};

export const chatUnsupported: Readonly<Record<string, z.ZodType>> = {
  ...common,
  response_format: z.strictObject({ type: z.literal("text") }),
  tools: emptyList,
  tool_choice: z.enum(["none", "auto"]),
  parallel_tool_calls: ignored,
  functions: emptyList,
  function_call: z.enum(["none", "auto"]),
  modalities: z.tuple([z.literal("text")]),
  verbosity: z.literal("medium"),
};

export const completionUnsupported: Readonly<Record<string, z.ZodType>> = {
  ...common,
  echo: z.literal(false),
  best_of: z.literal(1),
  suffix: z.literal(""),
};

/** What a message that an API answered with carries beside its content, when it is sent back. */
export const messageUnsupported: Readonly<Record<string, z.ZodType>> = {
  refusal: z.literal(""),
  annotations: emptyList,
  tool_calls: emptyList,
};
