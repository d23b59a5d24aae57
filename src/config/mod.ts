export { type AdaptersOptions, adaptersOptions } from "./adapter-options.ts";
export {
  type ControlOptions,
  controlOptions,
} from "./cluster-options.ts";
export { type Apply, type ChangeReport, Configuration, type Layers } from "./configuration.ts";
export { faultsError, readDocument } from "./document.ts";
export {
  type DeviceOptions,
  deviceOptions,
  type EngineOptions,
  engineOptions,
  type ModelOptions,
  modelOptions,
} from "./engine-options.ts";
export { readConfig, readConfigDocument, readConfigFile } from "./file.ts";
export { defaultsOf, parseFlags } from "./flags.ts";
export { helpText, twoColumns } from "./help.ts";
export type { ApiKeyOptions, KeyScope } from "./key-options.ts";
export { CONTEXT_MAX, MAX_BATCH_MAX, PRIORITY_MAX, RUN_TOKENS_DEFAULT } from "./limits.ts";
export {
  choiceOption,
  numberOption,
  type Option,
  type OptionTable,
  recordsOption,
  switchOption,
  textOption,
} from "./option.ts";
export type { RankOptions } from "./rank-options.ts";
export { type SamplingOptions, samplingOptions } from "./sampling-options.ts";
export { configSchema, configTable } from "./schema.ts";
export {
  checkExposure,
  type HttpOptions,
  isLoopback,
  type ServeOptions,
  serveOptions,
} from "./serve-options.ts";
export { closest } from "./suggestion.ts";
