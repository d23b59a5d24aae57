/** Choosing a token from logits. The specification is docs/reference/sampling.md; stages here are its sections. */

import { at, exactLogOf } from "../../base/mod.ts";
import { Candidates } from "./candidates.ts";
import type { History } from "./history.ts";
import { argmax, LogSumExp } from "./log-sum-exp.ts";
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
  readonly #noise = new Noise();
  readonly #normalizer: LogSumExp;

  constructor(vocabulary: number) {
    this.#logits = new Float32Array(vocabulary);
    this.#candidates = new Candidates(vocabulary);
    this.#normalizer = new LogSumExp(vocabulary);
  }

  /** The token at position `history.length`. E_NUMERIC when the logits are not finite. */
  draw(raw: Float32Array, history: History, parameters: SamplingParameters): Draw {
    const logits = this.#adjusted(raw, history, parameters);
    const token = this.#choose(logits, history.length, parameters);
    if (parameters.logprobs === undefined) return { token, logprob: undefined, top: NO_TOP };
    const normalizer = this.#normalizer.of(raw);
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
    this.#noise.begin(parameters, position);
    return gumbelMax(candidates, best, this.#noise);
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

/** Gumbel noise for each token id, from the seed, the choice and the position alone. */
class Noise {
  readonly #counter = new Uint32Array(4);
  /** The noise that was drawn last; a float that a method returns may become an object on the heap. */
  readonly value: Float64Array = new Float64Array(1);
  #seedLow = 0;
  #seedHigh = 0;
  #choice = 0;
  #position = 0;
  #block = -1;

  begin({ seed, choice }: SamplingParameters, position: number): void {
    this.#seedLow = seed % 2 ** 32;
    this.#seedHigh = Math.floor(seed / 2 ** 32);
    this.#choice = choice;
    this.#position = position;
    this.#block = -1;
  }

  draw(id: number): void {
    if (id >>> 2 !== this.#block) this.#fill(id >>> 2);
    const word = this.#counter[id & 3] as number;
    const { value } = this;
    value[0] = ((word >>> 8) + 0.5) * 2 ** -24;
    exactLogOf(value);
    value[0] = -(value[0] as number);
    exactLogOf(value);
    value[0] = -(value[0] as number);
  }

  #fill(block: number): void {
    this.#counter[0] = block;
    this.#counter[1] = this.#position;
    this.#counter[2] = this.#choice;
    this.#counter[3] = 0;
    philox(this.#counter, this.#seedLow, this.#seedHigh);
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
  noise.draw(likeliest);
  let bestScore = noise.value[0] as number;
  for (let i = 0; i < candidates.count; i++) {
    const z = scaled[i] as number;
    // Nothing this token could draw would win.
    if (z + NOISE_MAX < bestScore) continue;
    const id = ids[i] as number;
    noise.draw(id);
    const score = z + (noise.value[0] as number);
    if (score < bestScore) continue;
    if (score === bestScore && (z < bestScaled || (z === bestScaled && id > best))) continue;
    best = id;
    bestScaled = z;
    bestScore = score;
  }
  return best;
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
