export { type ApiKey, readOrMakeApiKey } from "./api-key.ts";
export type { Surroundings } from "./completions.ts";
export { createHttpServer } from "./http.ts";
export { ServedModels } from "./models.ts";
