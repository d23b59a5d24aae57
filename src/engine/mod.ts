export { abortable } from "./abortable.ts";
export { EngineClient, type TokenGenerator } from "./client.ts";
export { continued, observed } from "./continued.ts";
export { openDevice } from "./device.ts";
export { Engine, type EngineOptions } from "./engine.ts";
export { BATCH_DEFAULT, BATCH_MAX, STEP_ROWS_DEFAULT } from "./limits.ts";
export { preparedFor, type SourceListener } from "./local-source.ts";
export { availableMemory } from "./memory.ts";
export { EngineMetrics, type MetricsSnapshot } from "./metrics.ts";
export { makePageFolder, PAGE_FILE_NAME, pageOf } from "./page-file.ts";
export { PagePool } from "./pages.ts";
export { measurePerplexity, type Perplexity } from "./perplexity.ts";
export type { FinishReason, GenerationRequest, TokenEvent } from "./request.ts";
export {
  createRuntime,
  type PageCopies,
  type Runtime,
  type RuntimeOptions,
  sameSizes,
  sizeRuntime,
} from "./runtime.ts";
export type { OpenRuntime, Parallelism, RuntimeReport, RuntimeSource } from "./runtime-source.ts";
export {
  argmax,
  defaultSampling,
  LogSumExp,
  Sampler,
  type SamplingParameters,
  type TokenLogprob,
} from "./sampling/mod.ts";
export { scoreTokens } from "./score.ts";
export { runEngineThread } from "./service.ts";
export type {
  AdapterFolder,
  AdapterInfo,
  EngineChange,
  EngineInfo,
  EngineLoad,
  EngineSettings,
  SourceSettings,
} from "./settings.ts";
export type { RequestRecord, StepRecord } from "./step-record.ts";
export { generateText, type TextEvent, type TextRequest, type TextToken } from "./text.ts";
export { TokenStream } from "./token-stream.ts";
