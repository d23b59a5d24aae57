/** Errors of the addon as errors of ours. */

import { ClawError, type ErrorCode, errorTable } from "../base/mod.ts";

/** Calls the addon. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translate(error);
  }
}

/** An error of the addon with its code; any other as it is. */
export function translate(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof ClawError || !("code" in thrown)) return thrown;
  const { code, message } = thrown;
  return isErrorCode(code) ? new ClawError(code, message, { cause: thrown }) : thrown;
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(errorTable, code);
}
