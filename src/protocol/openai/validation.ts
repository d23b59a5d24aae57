/** Checking a request body against a schema, with errors that name the parameter. */

import { z } from "zod";
import { ClawError } from "../../base/mod.ts";

export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The body of a request. Errors: E_JSON when it is no object. */
export function readObject(body: unknown): object {
  if (isObject(body)) return body;
  throw new ClawError("E_JSON", "The body of the request is not a JSON object.");
}

interface ValidateOptions {
  /** Parameters that only ask for nothing, each with the values that do. */
  readonly unsupported: Readonly<Record<string, z.ZodType>>;
  /** What stands before the names in errors; ends with a dot or is empty. Default: empty. */
  readonly prefix?: string;
}

/** Checks an object. Errors: E_UNSUPPORTED and E_PARAMETER with `param`. */
export function validate<T>(
  schema: z.ZodType<T>,
  given: object,
  { unsupported, prefix = "" }: ValidateOptions,
): T {
  for (const [name, asksForNothing] of Object.entries(unsupported)) {
    const value: unknown = Object.hasOwn(given, name) ? Reflect.get(given, name) : null;
    if (value === null || asksForNothing.safeParse(value).success) continue;
    throw unsupportedParameter(`${prefix}${name}`, "is not supported with this value");
  }
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw refusal(result.error.issues, prefix);
}

/** An object that knows `shape` and nothing else; a null counts as absent, because clients send nulls for defaults. */
export function strictObject<S extends z.ZodRawShape>(
  shape: S,
  unsupported: Readonly<Record<string, z.ZodType>> = {},
): z.ZodPreprocess<z.ZodObject<{ -readonly [Name in keyof S]: S[Name] }, z.core.$strict>> {
  const withoutNulls = (value: unknown): unknown => {
    if (!isObject(value)) return value;
    const kept: [string, unknown][] = [];
    for (const name of Object.keys(value)) {
      const member: unknown = Reflect.get(value, name);
      if (member === null || Object.hasOwn(unsupported, name)) continue;
      kept.push([name, member]);
      // The schema refuses this one; a million others need not be looked at.
      if (!Object.hasOwn(shape, name)) break;
    }
    return Object.fromEntries(kept);
  };
  return z.preprocess(withoutNulls, z.strictObject(shape));
}

export function invalid(param: string, problem: string): ClawError {
  return new ClawError("E_PARAMETER", `The parameter ${param} ${problem}.`, { param });
}

function refusal(issues: readonly z.core.$ZodIssue[], prefix: string): ClawError {
  const unknown = issues.find((issue) => issue.code === "unrecognized_keys");
  if (unknown !== undefined) {
    const name = spell([...unknown.path, unknown.keys[0] ?? ""]);
    return unsupportedParameter(`${prefix}${name}`, "is not known");
  }
  const [issue] = issues;
  const param = `${prefix}${spell(issue?.path ?? [])}`;
  const problem = (issue?.message ?? "It is not valid").replace(/^[A-Z]/, (letter) => letter.toLowerCase());
  return invalid(param, `is not valid: ${problem}`);
}

function unsupportedParameter(param: string, problem: string): ClawError {
  return new ClawError("E_UNSUPPORTED", `The parameter ${param} ${problem}.`, { param });
}

/** A path as `messages[0].content`. */
function spell(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === "number") return `${text}[${step}]`;
    return text === "" ? String(step) : `${text}.${String(step)}`;
  }, "");
}
