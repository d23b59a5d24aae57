/** What the engine is asked for and what it answers, token by token. */

import type { ClawError } from "../base/mod.ts";
import type { SamplingParameters, TokenLogprob } from "./sampling/mod.ts";

export interface GenerationRequest {
  /** At least one token. */
  readonly prompt: Int32Array;
  readonly maxTokens: number;
  readonly sampling: SamplingParameters;
  /** Tokens that end the answer; the model's own end tokens included, unless the request ignores them. */
  readonly stopTokens: readonly number[];
  /** The digest of the adapter to answer with; undefined: the model alone. */
  readonly adapter?: string | undefined;
  /** Whose request it is, such as an API key's name: shares and the prefix cache are kept apart by it; "" unless told. */
  readonly tenant?: string | undefined;
  /** Larger goes first; 0 unless told. */
  readonly priority?: number | undefined;
  /** Milliseconds after which the request ends with E_DEADLINE; undefined: never. */
  readonly deadlineMs?: number | undefined;
  /** Tokens of the answer that were drawn before, by an engine that has ended since: goes on after them. */
  readonly drawn?: Int32Array | undefined;
}

/** `stop`: a stop token was drawn (it is the last token reported). `length`: maxTokens were drawn. */
export type FinishReason = "stop" | "length";

/** A token of a request, as it is drawn. */
export interface TokenEvent {
  readonly token: number;
  readonly logprob: number | undefined;
  readonly top: readonly TokenLogprob[];
  /** Set on the last token. */
  readonly finish: FinishReason | undefined;
}

/** Receives what happens to one request; after `failed` or a token with `finish`, nothing more comes. */
export interface GenerationListener {
  token(event: TokenEvent): void;
  failed(error: ClawError): void;
}
