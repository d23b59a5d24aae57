/** Choosing a token from logits. The specification is docs/reference/sampling.md; stages here are its sections. */

import { at, ClawError, exactExp, exactLog } from "../../base/mod.ts";
import { Candidates } from "./candidates.ts";
import type { History } from "./history.ts";
import type { SamplingParameters } from "./parameters.ts";
import { applyBias, applyFrequencyAndPresence, applyRepetition } from "./penalties.ts";
import { philox } from "./philox.ts";

export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** A drawn token; with log-probabilities when the request asked for them. */
export interface Draw {
  readonly token: number;
  readonly logprob: number | undefined;
  /** The likeliest tokens, likeliest first. */
  readonly top: readonly TokenLogprob[];
}

const NO_TOP: readonly TokenLogprob[] = [];

/** Draws tokens; holds only scratch memory for one vocabulary. */
export class Sampler {
  readonly #logits: Float32Array;
  readonly #candidates: Candidates;

  constructor(vocabulary: number) {
    this.#logits = new Float32Array(vocabulary);
    this.#candidates = new Candidates(vocabulary);
  }

  /** The token at position `history.length`. E_NUMERIC when the logits are not finite. */
  draw(raw: Float32Array, history: History, parameters: SamplingParameters): Draw {
    const logits = this.#adjusted(raw, history, parameters);
    const token = this.#choose(logits, history.length, parameters);
    if (parameters.logprobs === undefined) return { token, logprob: undefined, top: NO_TOP };
    const normalizer = logSumExp(raw);
    return {
      token,
      logprob: at(raw, token) - normalizer,
      top: topLogprobs(raw, normalizer, parameters.logprobs),
    };
  }

  #adjusted(raw: Float32Array, history: History, parameters: SamplingParameters): Float32Array {
    if (isPlain(parameters)) return raw;
    this.#logits.set(raw);
    applyRepetition(this.#logits, history, parameters);
    applyFrequencyAndPresence(this.#logits, history, parameters);
    applyBias(this.#logits, parameters);
    return this.#logits;
  }

  #choose(logits: Float32Array, position: number, parameters: SamplingParameters): number {
    const best = argmax(logits);
    if (parameters.temperature === 0) return best;
    const candidates = this.#candidates;
    candidates.fill(logits, at(logits, best), parameters.temperature);
    candidates.keepTopK(parameters.topK);
    candidates.keepTopP(parameters.topP);
    candidates.keepMinP(parameters.minP);
    return gumbelMax(candidates, best, new Noise(parameters, position));
  }
}

function isPlain(p: SamplingParameters): boolean {
  return (
    p.repetitionPenalty === 1 &&
    p.frequencyPenalty === 0 &&
    p.presencePenalty === 0 &&
    p.logitBias.length === 0
  );
}

/** The id of the largest logit, the lowest id among equals. */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let largest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit > largest) {
      largest = logit;
      best = id;
    } else if (Number.isNaN(logit)) {
      best = -1;
      break;
    }
  }
  if (best >= 0 && largest < Number.POSITIVE_INFINITY) return best;
  throw new ClawError("E_NUMERIC", "The model's logits are not finite at this position.");
}

/** Gumbel noise for each token id, from the seed, the choice and the position alone. */
class Noise {
  readonly #counter = new Uint32Array(4);
  readonly #parameters: SamplingParameters;
  readonly #position: number;
  #block = -1;

  constructor(parameters: SamplingParameters, position: number) {
    this.#parameters = parameters;
    this.#position = position;
  }

  at(id: number): number {
    if (id >>> 2 !== this.#block) this.#fill(id >>> 2);
    const word = this.#counter[id & 3] as number;
    const uniform = ((word >>> 8) + 0.5) * 2 ** -24;
    return -exactLog(-exactLog(uniform));
  }

  #fill(block: number): void {
    const { seed, choice } = this.#parameters;
    this.#counter[0] = block;
    this.#counter[1] = this.#position;
    this.#counter[2] = choice;
    this.#counter[3] = 0;
    philox(this.#counter, seed % 2 ** 32, Math.floor(seed / 2 ** 32));
    this.#block = block;
  }
}

/** No Gumbel value exceeds -log(-log(1 - 2^-25)) = 17.33. */
const NOISE_MAX = 17.4;

/** The survivor of largest scaled logit plus noise; ties go to the larger logit, then to the lower id. */
function gumbelMax(candidates: Candidates, likeliest: number, noise: Noise): number {
  const { ids, scaled } = candidates;
  let best = likeliest;
  let bestScaled = 0;
  let bestScore = noise.at(likeliest);
  for (let i = 0; i < candidates.count; i++) {
    const z = scaled[i] as number;
    // Nothing this token could draw would win.
    if (z + NOISE_MAX < bestScore) continue;
    const id = ids[i] as number;
    const score = z + noise.at(id);
    if (score < bestScore) continue;
    if (score === bestScore && (z < bestScaled || (z === bestScaled && id > best))) continue;
    best = id;
    bestScaled = z;
    bestScore = score;
  }
  return best;
}

/** log of the sum of exp over all logits, in id order. */
function logSumExp(logits: Float32Array): number {
  const largest = at(logits, argmax(logits));
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += exactExp((logits[id] as number) - largest);
  return largest + exactLog(sum);
}

function topLogprobs(logits: Float32Array, normalizer: number, count: number): TokenLogprob[] {
  const top: number[] = [];
  for (let id = 0; id < logits.length && count > 0; id++) {
    const logit = logits[id] as number;
    if (top.length === count && logit <= at(logits, at(top, count - 1))) continue;
    let place = top.length;
    while (place > 0 && at(logits, at(top, place - 1)) < logit) place--;
    top.splice(place, 0, id);
    if (top.length > count) top.pop();
  }
  return top.map((token) => ({ token, logprob: at(logits, token) - normalizer }));
}
