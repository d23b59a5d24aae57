export { type ApiKey, readOrMakeApiKey } from "./api-key.ts";
export type { Surroundings } from "./completions.ts";
export { createHttpServer, type ServerOptions } from "./http.ts";
export { type ServedModel, ServedModels } from "./models.ts";
