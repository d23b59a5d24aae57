/** Checking a request body against a schema, with errors that name the parameter. */

import { z } from "zod";
import { ClawError } from "../../base/mod.ts";

/** Checks `body`. Errors: E_JSON when it is no object, E_UNSUPPORTED and E_PARAMETER with `param`. */
export function validate<T>(
  schema: z.ZodType<T>,
  body: unknown,
  unsupported: Readonly<Record<string, z.ZodType>>,
): T {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ClawError("E_JSON", "The body of the request is not a JSON object.");
  }
  refuseUnsupported(body, unsupported, "");
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw refusal(result.error.issues);
}

/** Refuses values, other than null, of parameters that are not supported. `prefix` ends with a dot or is empty. */
export function refuseUnsupported(
  given: object,
  unsupported: Readonly<Record<string, z.ZodType>>,
  prefix: string,
): void {
  for (const [name, value] of Object.entries(given)) {
    const asksForNothing = Object.hasOwn(unsupported, name) ? unsupported[name] : undefined;
    if (asksForNothing === undefined || value === null || asksForNothing.safeParse(value).success) continue;
    throw unsupportedParameter(`${prefix}${name}`, `is not supported with this value`);
  }
}

/** An object that knows `shape` and nothing else; a null counts as absent, because clients send nulls for defaults. */
export function strictObject<S extends z.ZodRawShape>(
  shape: S,
  unsupported: Readonly<Record<string, z.ZodType>> = {},
): z.ZodPreprocess<z.ZodObject<{ -readonly [Name in keyof S]: S[Name] }, z.core.$strict>> {
  const withoutNulls = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const kept = ([name, member]: [string, unknown]): boolean =>
      member !== null && !Object.hasOwn(unsupported, name);
    return Object.fromEntries(Object.entries(value).filter(kept));
  };
  return z.preprocess(withoutNulls, z.strictObject(shape));
}

function refusal(issues: readonly z.core.$ZodIssue[]): ClawError {
  const unknown = issues.find((issue) => issue.code === "unrecognized_keys");
  if (unknown !== undefined) {
    const name = spell([...unknown.path, unknown.keys[0] ?? ""]);
    return unsupportedParameter(name, "is not known");
  }
  const [issue] = issues;
  const param = spell(issue?.path ?? []);
  const problem = (issue?.message ?? "It is not valid").replace(/^[A-Z]/, (letter) => letter.toLowerCase());
  return new ClawError("E_PARAMETER", `The parameter ${param} is not valid: ${problem}.`, { param });
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
