/** Offline proofs that an entry is in a log: index, inclusion proof, signed checkpoint (C2SP tlog-proof v1). */

import { ClawError } from "../base/mod.ts";
import { fromBase64, fromUtf8, readDecimal, toBase64 } from "./bytes.ts";
import { type Checkpoint, parseCheckpoint } from "./checkpoint.ts";
import { HASH_BYTES, PROOF_HASHES_MAX, verifyInclusion } from "./merkle.ts";
import { NOTE_BYTES_MAX, type NoteVerifier, openNote } from "./signed-note.ts";

const HEADER = "c2sp.org/tlog-proof@v1";

export interface TlogProof {
  readonly index: number;
  /** From the leaf's sibling up. */
  readonly hashes: readonly Uint8Array[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
  /** Not authenticated by the log. */
  readonly extra?: Uint8Array | undefined;
}

export function formatProof({ index, hashes, checkpoint, extra }: TlogProof): string {
  const head = extra === undefined ? [HEADER] : [HEADER, `extra ${toBase64(extra)}`];
  return [...head, `index ${index}`, ...hashes.map(toBase64), "", checkpoint].join("\n");
}

/** Takes a proof apart and trusts nothing in it. Errors: E_PROOF. */
export function parseProof(proof: string | Uint8Array): TlogProof {
  if (proof.length > NOTE_BYTES_MAX) throw malformed(`it is longer than ${NOTE_BYTES_MAX} bytes`);
  const text = typeof proof === "string" ? proof : fromUtf8(proof);
  const gap = text.indexOf("\n\n");
  if (gap < 0) throw malformed("no checkpoint follows");
  const [header, ...lines] = text.slice(0, gap).split("\n");
  if (header !== HEADER) throw malformed(`its first line is not ${HEADER}`);
  const extra = lines[0]?.startsWith("extra ") ? fromBase64(lines.shift()?.slice(6) ?? "") : undefined;
  const index = lines[0]?.startsWith("index ") ? readDecimal(lines.shift()?.slice(6) ?? "") : undefined;
  if (index === undefined) throw malformed("it names no index");
  if (lines.length > PROOF_HASHES_MAX) throw malformed(`it has more than ${PROOF_HASHES_MAX} hashes`);
  return { index, hashes: lines.map(hashOf), checkpoint: text.slice(gap + 2), extra };
}

function hashOf(line: string): Uint8Array {
  const hash = fromBase64(line);
  if (hash?.length !== HASH_BYTES) throw malformed("a line of it is no hash");
  return hash;
}

/** Who must have signed the checkpoint. */
export interface ProofPolicy {
  /** The log's name and its keys; one of them must have signed. */
  readonly origin: string;
  readonly logKeys: readonly NoteVerifier[];
  /** Known witnesses, and how many of them must have cosigned. */
  readonly witnesses?: readonly NoteVerifier[];
  readonly witnessesMin?: number;
}

/** The checkpoint of a proof that was verified. */
interface VerifiedProof extends Checkpoint {
  /** Names of the known witnesses that cosigned it. */
  readonly witnesses: readonly string[];
}

/** Checks that the log holds the entry with this leaf hash. Errors: E_PROOF, E_NOTE. */
export function verifyProof(proof: TlogProof, leaf: Uint8Array, policy: ProofPolicy): VerifiedProof {
  const { origin, logKeys, witnesses = [], witnessesMin = 0 } = policy;
  const { text, verified } = openNote(proof.checkpoint, [...logKeys, ...witnesses]);
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== origin) {
    throw new ClawError("E_PROOF", `The checkpoint is of the log ${checkpoint.origin}, not of ${origin}.`);
  }
  if (!logKeys.some((key) => verified.includes(key))) {
    throw new ClawError("E_PROOF", `The log ${origin} did not sign the checkpoint with a known key.`);
  }
  const seen = witnesses.filter((key) => verified.includes(key));
  if (seen.length < witnessesMin) {
    throw new ClawError("E_PROOF", `${seen.length} known witnesses cosigned; ${witnessesMin} are asked for.`);
  }
  const { size, root } = checkpoint;
  verifyInclusion(proof.hashes, { leaf, index: proof.index, size, root });
  return { ...checkpoint, witnesses: [...new Set(seen.map(({ name }) => name))] };
}

function malformed(why: string): ClawError {
  return new ClawError("E_PROOF", `The proof is malformed: ${why}.`);
}
