export { argmax, LogSumExp } from "./log-sum-exp.ts";
export { checkSampling, checkStopTokens, defaultSampling, type SamplingParameters } from "./parameters.ts";
export { type Draw, Sampler, type TokenLogprob } from "./sampler.ts";
