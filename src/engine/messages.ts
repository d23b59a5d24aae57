/** What crosses between the engine's thread and the one that serves: plain, cloneable data. */

import { ClawError, type ErrorCode } from "../base/mod.ts";
import type { GenerationRequest, TokenEvent } from "./request.ts";
import type { EngineInfo, EngineLoad } from "./settings.ts";

export type ToEngine =
  | { readonly type: "generate"; readonly id: number; readonly request: GenerationRequest }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "close" };

export type FromEngine =
  | { readonly type: "loading"; readonly fraction: number }
  /** Something the operator should know; the work goes on. */
  | { readonly type: "note"; readonly text: string }
  | { readonly type: "ready"; readonly info: EngineInfo }
  | { readonly type: "refused"; readonly error: ErrorData }
  | { readonly type: "load"; readonly load: EngineLoad }
  | { readonly type: "token"; readonly id: number; readonly event: TokenEvent }
  | { readonly type: "failed"; readonly id: number; readonly error: ErrorData };

/** A ClawError as data; structured cloning would lose its code. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
}

export function errorData({ code, message, param, retryAfterSeconds }: ClawError): ErrorData {
  return { code, message, param, retryAfterSeconds };
}

export function errorFromData({ code, message, param, retryAfterSeconds }: ErrorData): ClawError {
  return new ClawError(code, message, { ...(param === undefined ? {} : { param }), retryAfterSeconds });
}
