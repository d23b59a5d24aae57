export { checkSampling, checkStopTokens, defaultSampling, type SamplingParameters } from "./parameters.ts";
export { type Draw, Sampler, type TokenLogprob } from "./sampler.ts";
