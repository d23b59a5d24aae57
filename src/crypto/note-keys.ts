/**
 * The keys that sign checkpoints: Ed25519 over the note (type 1), timestamped Ed25519 cosignatures (type 4) and
 * timestamped ML-DSA-44 cosignatures (type 6), C2SP signed-note and tlog-cosignature. Verification only, without Node.
 */

import { ed25519 } from "@noble/curves/ed25519.js";
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { ClawError } from "../base/mod.ts";
import { concat, readUint64, uint64, utf8 } from "./bytes.ts";
import { parseCheckpoint } from "./checkpoint.ts";
import { type NoteVerifier, parseVerifierKey, type VerifierKey } from "./signed-note.ts";

export const NOTE_KEY = { ED25519: 1, COSIGNATURE_ED25519: 4, COSIGNATURE_ML_DSA_44: 6 } as const;

export type NoteKeyType = (typeof NOTE_KEY)[keyof typeof NOTE_KEY];

const PUBLIC_KEY_BYTES: Readonly<Record<NoteKeyType, number>> = { 1: 32, 4: 32, 6: 1312 };
const TIMESTAMP_BYTES = 8;
const NAME_BYTES_MAX = 255;

/** The verifier of a public key in text form (a vkey). Errors: E_NOTE. */
export function noteVerifier(vkey: string): NoteVerifier {
  const key = parseVerifierKey(vkey);
  const { name, keyId, type, publicKey } = key;
  if (!isNoteKeyType(type) || publicKey.length !== PUBLIC_KEY_BYTES[type]) {
    throw new ClawError("E_NOTE", `The public key of ${name} is of an unknown type.`);
  }
  return { name, keyId, verify: (text, signature) => verifySignature(key, text, signature) };
}

function isNoteKeyType(type: number): type is NoteKeyType {
  return type in PUBLIC_KEY_BYTES;
}

function verifySignature(
  { name, type, publicKey }: VerifierKey,
  text: string,
  signature: Uint8Array,
): boolean {
  if (type === NOTE_KEY.ED25519) return verifyEd25519(publicKey, utf8(text), signature);
  const time = cosignatureTime(signature);
  if (time === undefined) return false;
  const rest = signature.slice(TIMESTAMP_BYTES);
  if (type === NOTE_KEY.COSIGNATURE_ED25519) {
    return verifyEd25519(publicKey, cosignatureMessage(text, time), rest);
  }
  const message = subtreeMessage(text, { name, time });
  return message !== undefined && ml_dsa44.verify(rest, message, publicKey);
}

function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return ed25519.verify(signature, message, publicKey, { zip215: false });
  } catch {
    return false; // of the wrong length, or a key that is no point
  }
}

/** Seconds since 1970 at which a cosignature was made. */
export function cosignatureTime(signature: Uint8Array): number | undefined {
  return signature.length > TIMESTAMP_BYTES ? readUint64(signature, 0) : undefined;
}

/** What an Ed25519 cosigner signs. */
export function cosignatureMessage(text: string, time: number): Uint8Array {
  return utf8(`cosignature/v1\ntime ${time}\n${text}`);
}

/** What an ML-DSA-44 cosigner signs: `cosigned_message` for the whole tree. Undefined for a text that is no checkpoint. */
export function subtreeMessage(
  text: string,
  { name, time }: { readonly name: string; readonly time: number },
): Uint8Array | undefined {
  const [cosigner, checkpoint] = [utf8(name), checkpointOf(text)];
  if (checkpoint === undefined) return undefined;
  const origin = utf8(checkpoint.origin);
  if (cosigner.length > NAME_BYTES_MAX || origin.length > NAME_BYTES_MAX) return undefined;
  return concat(
    utf8("subtree/v1\n\0"),
    Uint8Array.of(cosigner.length),
    cosigner,
    uint64(time),
    Uint8Array.of(origin.length),
    origin,
    uint64(0),
    uint64(checkpoint.size),
    checkpoint.root,
  );
}

function checkpointOf(text: string): ReturnType<typeof parseCheckpoint> | undefined {
  try {
    return parseCheckpoint(text);
  } catch {
    return undefined;
  }
}

/** A cosignature as it stands in a note: the time, then the signature. */
export function timestamped(time: number, signature: Uint8Array): Uint8Array {
  return concat(uint64(time), signature);
}
