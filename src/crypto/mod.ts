export {
  concat,
  equalBytes,
  fromBase64,
  fromHex,
  fromUtf8,
  readDecimal,
  toBase64,
  toHex,
  utf8,
} from "./bytes.ts";
export { type Checkpoint, formatCheckpoint, parseCheckpoint } from "./checkpoint.ts";
export {
  emptyRoot,
  HASH_BYTES,
  leafHash,
  nodeHash,
  PROOF_HASHES_MAX,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
export {
  cosignatureMessage,
  NOTE_KEY,
  type NoteKeyType,
  noteVerifier,
  subtreeMessage,
  timestamped,
} from "./note-keys.ts";
export {
  formatVerifierKey,
  type NoteSigner,
  type NoteVerifier,
  noteKeyId,
  openNote,
  parseNote,
  parseSignatureLine,
  signatureLine,
  signNote,
  verifierKeys,
} from "./signed-note.ts";
export { formatProof, parseProof, verifyProof } from "./tlog-proof.ts";
