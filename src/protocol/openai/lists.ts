/**
 * The fields of a request that may be long. A schema would keep an issue for each wrong element; these readers look at
 * the length first, go through the elements in plain loops, and stop at the first fault. Errors: E_PARAMETER.
 */

import {
  ANSWERS_MAX,
  CONTENT_PARTS_MAX,
  LOGIT_BIAS_MAX,
  PROMPT_TOKENS_MAX,
  STOP_LENGTH_MAX,
  STOP_TOKENS_MAX,
  STOPS_MAX,
  TOKEN_ID_MAX,
} from "./limits.ts";
import { invalid, isObject } from "./validation.ts";

/** Texts or token ids: an array that begins with a number is one prompt, any other array several. */
export function readPrompts(value: unknown): (string | readonly number[])[] {
  if (typeof value === "string") return [value];
  const list = readArray(value, "prompt", "a string, an array of token ids, or an array of either");
  if (typeof list[0] === "number") return [readIds(list, "prompt", PROMPT_TOKENS_MAX)];
  refuseLength(list, "prompt", [1, ANSWERS_MAX]);
  return list.map((given, index) => {
    const param = `prompt[${index}]`;
    if (typeof given === "string") return given;
    return readIds(readArray(given, param, "a string or an array of token ids"), param, PROMPT_TOKENS_MAX);
  });
}

export function readStopTokens(value: unknown): readonly number[] {
  if (value === undefined) return [];
  const list = readArray(value, "stop_token_ids", "an array of token ids");
  return readIds(list, "stop_token_ids", STOP_TOKENS_MAX);
}

export function readStopStrings(value: unknown): readonly string[] {
  if (value === undefined) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isStop = (stop: unknown): stop is string =>
    typeof stop === "string" && stop.length <= STOP_LENGTH_MAX;
  if (list.length <= STOPS_MAX && list.every(isStop)) return list;
  const wanted = `a string or at most ${STOPS_MAX} strings of at most ${STOP_LENGTH_MAX} characters`;
  throw invalid("stop", `is not valid: expected ${wanted}`);
}

/** An object of token ids and numbers, in its order. */
export function readBias(value: unknown): (readonly [token: number, bias: number])[] {
  if (value === undefined) return [];
  if (!isObject(value))
    throw invalid("logit_bias", "is not valid: expected an object of token ids and numbers");
  const ids = Object.keys(value);
  refuseLength(ids, "logit_bias", [0, LOGIT_BIAS_MAX]);
  return ids.map((id) => {
    const bias: unknown = (value as Readonly<Record<string, unknown>>)[id];
    if (!/^(?:0|[1-9]\d{0,9})$/.test(id) || Number(id) > TOKEN_ID_MAX) {
      throw invalid(`logit_bias.${id.slice(0, 40)}`, `is not valid: a token id is 0 to ${TOKEN_ID_MAX}`);
    }
    if (typeof bias === "number") return [Number(id), bias] as const;
    throw invalid(`logit_bias.${id}`, "is not valid: expected a number");
  });
}

/** Text, or text in parts. */
export function readContent(value: unknown, param: string): string {
  if (typeof value === "string") return value;
  const parts = readArray(value, param, "a string or an array of text parts");
  refuseLength(parts, param, [0, CONTENT_PARTS_MAX]);
  return parts.map((part, index) => readPart(part, `${param}[${index}]`)).join("");
}

function readPart(value: unknown, param: string): string {
  const { type, text, ...rest } = isObject(value) ? (value as Readonly<Record<string, unknown>>) : {};
  if (type === "text" && typeof text === "string" && Object.values(rest).every((other) => other === null))
    return text;
  throw invalid(param, 'is not valid: expected an object with "type": "text" and a text');
}

/** The array `value`, of `least` to `most` elements. */
export function readList(
  value: unknown,
  param: string,
  bounds: readonly [least: number, most: number],
): readonly unknown[] {
  const list = readArray(value, param, "an array");
  refuseLength(list, param, bounds);
  return list;
}

function readIds(list: readonly unknown[], param: string, most: number): readonly number[] {
  refuseLength(list, param, [0, most]);
  for (let index = 0; index < list.length; index++) {
    const id = list[index];
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id <= TOKEN_ID_MAX) continue;
    const given = typeof id === "number" ? String(id) : `of the type ${typeof id}`;
    throw invalid(
      `${param}[${index}]`,
      `is ${given}; a token id is a whole number from 0 to ${TOKEN_ID_MAX}`,
    );
  }
  return list as readonly number[];
}

function readArray(value: unknown, param: string, wanted: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid(param, `is not valid: expected ${wanted}`);
}

function refuseLength(
  { length }: { readonly length: number },
  param: string,
  [least, most]: readonly [number, number],
): void {
  if (length >= least && length <= most) return;
  throw invalid(param, `has ${length} entries; ${least} to ${most} are taken`);
}
