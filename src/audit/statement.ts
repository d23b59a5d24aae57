/** What entries say of a request, and the request that an entry tells of. */

import { hash } from "node:crypto";
import { toHex } from "../crypto/mod.ts";
import type { GenerationRequest } from "../engine/mod.ts";
import { commitment, type Statement } from "../records/mod.ts";

/** Node's, which is faster than the portable one that receipts are verified with. */
export const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");

/** Whose stream it is. */
export interface StreamOwner {
  readonly request: string;
  readonly tenant: string;
  /** Revocation ids of the capability token that the request came with. */
  readonly revocations: readonly string[];
  /** Leaf hash of the open entry of another server's stream that is gone on with. */
  readonly continues?: string;
}

/** What computes, and which model. */
export type Computes = Pick<Statement, "model" | "engine" | "nodes">;

interface Circumstances {
  readonly owner: StreamOwner;
  readonly computes: Computes;
  /** Of the commitment to the prompt. */
  readonly salt: Uint8Array;
}

export function statementOf(
  { prompt, maxTokens, sampling, stopTokens, adapter }: GenerationRequest,
  { owner, computes, salt }: Circumstances,
): Statement {
  return {
    ...owner,
    ...computes,
    ...(adapter === undefined ? {} : { adapter }),
    sampling: {
      temperature: sampling.temperature,
      top_k: sampling.topK,
      top_p: sampling.topP,
      min_p: sampling.minP,
      repetition_penalty: sampling.repetitionPenalty,
      repetition_window: sampling.repetitionWindow,
      frequency_penalty: sampling.frequencyPenalty,
      presence_penalty: sampling.presencePenalty,
      logit_bias: sampling.logitBias,
      seed: sampling.seed,
      choice: sampling.choice,
      ...(sampling.logprobs === undefined ? {} : { logprobs: sampling.logprobs }),
      max_tokens: maxTokens,
      stop_tokens: stopTokens,
    },
    prompt: { commitment: toHex(commitment(salt, prompt)), tokens: prompt.length },
  };
}

/** The request that answers with the same tokens. */
export function requestOf(
  { sampling, adapter }: Pick<Statement, "sampling" | "adapter">,
  prompt: readonly number[],
): GenerationRequest {
  return {
    prompt: Int32Array.from(prompt),
    maxTokens: sampling.max_tokens,
    stopTokens: sampling.stop_tokens,
    adapter,
    sampling: {
      temperature: sampling.temperature,
      topK: sampling.top_k,
      topP: sampling.top_p,
      minP: sampling.min_p,
      repetitionPenalty: sampling.repetition_penalty,
      repetitionWindow: sampling.repetition_window,
      frequencyPenalty: sampling.frequency_penalty,
      presencePenalty: sampling.presence_penalty,
      logitBias: sampling.logit_bias,
      seed: sampling.seed,
      choice: sampling.choice,
      logprobs: sampling.logprobs,
    },
  };
}
