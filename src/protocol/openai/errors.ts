/** Errors in the shape OpenAI's clients read. */

import type { ClawError } from "../../base/mod.ts";

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export function errorBody({ message, remedy, status, param, code }: ClawError): ErrorBody {
  return { error: { message: `${message} ${remedy}`, type: errorType(status), param: param ?? null, code } };
}

function errorType(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
