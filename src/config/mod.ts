export {
  type DeviceOptions,
  deviceOptions,
  type EngineOptions,
  engineOptions,
  type ModelOptions,
  modelOptions,
} from "./engine-options.ts";
export { parseFlags } from "./flags.ts";
export { helpText, twoColumns } from "./help.ts";
export { CONTEXT_MAX, MAX_BATCH_MAX, RUN_TOKENS_DEFAULT } from "./limits.ts";
export { choiceOption, numberOption, type OptionTable, switchOption, textOption } from "./option.ts";
export { type SamplingOptions, samplingOptions } from "./sampling-options.ts";
export { checkExposure, isLoopback, type ServeOptions, serveOptions } from "./serve-options.ts";
export { closest } from "./suggestion.ts";
