export { attempt } from "./attempt.ts";
export { makeSecretFile, readSecretFile } from "./secret-file.ts";
