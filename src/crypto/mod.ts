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
  type TreeHead,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
export {
  cosignatureMessage,
  cosignatureTime,
  NOTE_KEY,
  type NoteKeyType,
  noteVerifier,
  subtreeMessage,
  timestamped,
} from "./note-keys.ts";
export {
  formatVerifierKey,
  NOTE_BYTES_MAX,
  type NoteSigner,
  type NoteVerifier,
  noteKeyId,
  openNote,
  parseNote,
  parseSignatureLine,
  signatureLine,
  signNote,
} from "./signed-note.ts";
export { formatProof, type ProofPolicy, parseProof, type TlogProof, verifyProof } from "./tlog-proof.ts";
