import { ClawError } from "../../base/mod.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
}

/** The error for a template that cannot be used, or messages that it does not take. */
export function templateError(message: string, cause?: unknown): ClawError {
  return new ClawError("E_TEMPLATE", message, { cause });
}
