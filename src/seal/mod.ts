export { openBundle, signBundle } from "./bundle.ts";
export { makeKeys, readPrivateKey, readPublicKey } from "./keys.ts";
export { sanctionedSeal, type TrustRule } from "./policy.ts";
export { readSeal, sealModel, verifyModel } from "./seal.ts";
