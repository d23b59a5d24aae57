export { FileStorage } from "./file-storage.ts";
export { PostgresStorage } from "./postgres-storage.ts";
export { CHECKPOINT, type LogStorage } from "./storage.ts";
