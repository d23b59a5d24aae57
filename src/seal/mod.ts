export { openBundle, signBundle } from "./bundle.ts";
export { makeKeys, readPrivateKey, readPublicKey } from "./keys.ts";
export { type NamedKey, readSeal, type SignedStatement, sealModel, verifyModel } from "./seal.ts";
export { readStatement } from "./statement.ts";
