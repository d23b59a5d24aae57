export { openBundle, signBundle } from "./bundle.ts";
export { makeKeys, readPrivateKey, readPublicKey } from "./keys.ts";
export { readSeal, sealModel, verifyModel } from "./seal.ts";
