export { makeSecretFile } from "./secret-file.ts";
