export { openPackedCache, type PackedCacheSettings } from "./cache.ts";
export { clearPacked, listPacked, type PackedListing } from "./folder.ts";
export { contentDigest, identify } from "./identity.ts";
export { readOrMakeCacheKey } from "./seal-key.ts";
