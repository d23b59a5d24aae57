export { FileStorage } from "./file-storage.ts";
export { CHECKPOINT, type LogStorage } from "./storage.ts";
