/** What crosses between the engine's thread and the one that serves: plain, cloneable data. */

import { ClawError, type ErrorCode } from "../base/mod.ts";
import type { GenerationRequest, TokenEvent } from "./request.ts";
import type { EngineChange, EngineInfo, EngineLoad, EngineSettings } from "./settings.ts";

/** What the engine's thread is started with. */
export interface EngineStart {
  readonly settings: EngineSettings;
  readonly metrics: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
}

export type ToEngine =
  | { readonly type: "generate"; readonly id: number; readonly request: GenerationRequest }
  /** Another engine has it now. */
  | { readonly type: "expect"; readonly request: GenerationRequest }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "configure"; readonly id: number; readonly change: EngineChange }
  /** A token that came as a message because the ring was full has been received. */
  | { readonly type: "received" }
  | { readonly type: "close" };

export type FromEngine =
  | { readonly type: "loading"; readonly fraction: number }
  /** Something the operator should know; the work goes on. */
  | { readonly type: "note"; readonly text: string }
  | { readonly type: "ready"; readonly info: EngineInfo }
  | { readonly type: "refused"; readonly error: ErrorData }
  /** The engine is not to be trusted any more, and does not start again by itself. */
  | { readonly type: "damaged"; readonly error: ErrorData }
  | { readonly type: "load"; readonly load: EngineLoad }
  /** There are tokens in the ring. */
  | { readonly type: "tokens" }
  /** A token with log-probabilities, or (a detour) one for which the ring had no room. */
  | { readonly type: "token"; readonly id: number; readonly event: TokenEvent; readonly detour: boolean }
  | { readonly type: "configured"; readonly id: number; readonly error: ErrorData | undefined }
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
