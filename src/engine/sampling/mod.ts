export { checkSampling, checkStopTokens, defaultSampling, type SamplingParameters } from "./parameters.ts";
export { Sampler, type TokenLogprob } from "./sampler.ts";
