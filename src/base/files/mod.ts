export { attempt } from "./attempt.ts";
export { makeSecretFile } from "./secret-file.ts";
