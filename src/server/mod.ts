export { type ApiKey, readOrMakeApiKey } from "./api-key.ts";
export type { Surroundings } from "./completions.ts";
export { fingerprintOf, modelDigest } from "./fingerprint.ts";
export { createHttpServer } from "./http.ts";
export { ServedModels } from "./models.ts";
export { textBytesMax } from "./prompts.ts";
