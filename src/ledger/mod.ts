export { cosign, type WitnessPeer } from "./cosigning.ts";
export { type Disk, FolderDisk } from "./disk/mod.ts";
export { type IndexKeys, LedgerIndex } from "./index/mod.ts";
export { Log, type LogOptions, type Placed } from "./log.ts";
export { consistencyProof, inclusionProof, type TileReader } from "./proofs.ts";
export { readOrMakeKey, type SigningKey, signingKey } from "./signing-keys.ts";
export { FileStorage, type LogStorage } from "./storage/mod.ts";
export { decodeBundle, newTiles, tilePath } from "./tiles.ts";
export { Witness } from "./witness.ts";
