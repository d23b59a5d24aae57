export { cosign, type WitnessCall, type WitnessPeer } from "./cosigning.ts";
export { type Disk, FolderDisk } from "./disk/mod.ts";
export { ENTRY_BYTES_MAX, TILE_WIDTH } from "./limits.ts";
export { Log, type LogOptions, type Placed } from "./log.ts";
export { consistencyProof, inclusionProof, type TileReader } from "./proofs.ts";
export { readOrMakeKey, type SigningKey, signingKey } from "./signing-keys.ts";
export { decodeBundle, newTiles, type TileName, tilePath, tileWidth } from "./tiles.ts";
export { Witness, type WitnessAnswer, type WitnessOptions } from "./witness.ts";
