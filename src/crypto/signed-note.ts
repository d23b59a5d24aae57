/** Signed notes: a text with the signatures of named keys under it (C2SP signed-note v1.0.0). */

import { sha256 } from "@noble/hashes/sha2.js";
import { ClawError } from "../base/mod.ts";
import { concat, equalBytes, fromBase64, fromHex, fromUtf8, toBase64, toHex, utf8 } from "./bytes.ts";

/** Notes larger than this are refused: room for 16 post-quantum signatures and a large proof. */
export const NOTE_BYTES_MAX: number = 256 * 1024;

/** Signatures looked at; the specification asks for 16 at least. */
const SIGNATURES_MAX = 64;

/** Bytes of a key's ID. */
export const KEY_ID_BYTES = 4;

const DASH = "\u2014";

export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** Ends with a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Checks the signatures of one key. */
export interface NoteVerifier {
  readonly name: string;
  readonly keyId: Uint8Array;
  verify(text: string, signature: Uint8Array): boolean;
}

/** Makes the signatures of one key. */
export interface NoteSigner {
  readonly name: string;
  readonly keyId: Uint8Array;
  sign(text: string): Uint8Array;
}

/** A key's ID: of its name, its signature type and its public key. */
export function noteKeyId(name: string, type: number, publicKey: Uint8Array): Uint8Array {
  return sha256(concat(utf8(`${name}\n`), Uint8Array.of(type), publicKey)).slice(0, KEY_ID_BYTES);
}

/** The text, an empty line, a signature line for each signer. */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  return `${text}\n${signers.map((signer) => signatureLine(signer, signer.sign(text))).join("")}`;
}

/** One signature line with its newline. */
export function signatureLine(
  { name, keyId }: Pick<NoteSigner, "name" | "keyId">,
  signature: Uint8Array,
): string {
  return `${DASH} ${name} ${toBase64(concat(keyId, signature))}\n`;
}

/** Takes a note apart and trusts nothing in it. Errors: E_NOTE. */
export function parseNote(note: string | Uint8Array): SignedNote {
  if (note.length > NOTE_BYTES_MAX) throw malformed(`it is longer than ${NOTE_BYTES_MAX} bytes`);
  const whole = typeof note === "string" ? note : fromUtf8(note);
  if (hasControlCharacter(whole)) throw malformed("it holds a control character");
  const gap = whole.lastIndexOf("\n\n");
  if (gap < 0 || !whole.endsWith("\n")) throw malformed("no signatures follow its text");
  const lines = whole.slice(gap + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) throw malformed(`it has more than ${SIGNATURES_MAX} signatures`);
  return { text: whole.slice(0, gap + 1), signatures: lines.map(parseSignatureLine) };
}

/** A line of the form — NAME BASE64. Errors: E_NOTE. */
export function parseSignatureLine(line: string): NoteSignature {
  const [dash, name, encoded, ...rest] = line.split(" ");
  const bytes = fromBase64(encoded ?? "");
  const wellFormed = dash === DASH && rest.length === 0 && isKeyName(name) && bytes !== undefined;
  if (!wellFormed || bytes.length <= KEY_ID_BYTES) throw malformed("a signature line is not — NAME BASE64");
  return { name, keyId: bytes.slice(0, KEY_ID_BYTES), signature: bytes.slice(KEY_ID_BYTES) };
}

/**
 * The text of a note and which of the known keys signed it. Signatures of unknown keys are passed over; a signature of
 * a known key that does not verify spoils the note, and so does having none. Errors: E_NOTE.
 */
export function openNote(
  note: string | Uint8Array,
  known: readonly NoteVerifier[],
): { readonly text: string; readonly verified: readonly NoteVerifier[] } {
  const { text, signatures } = parseNote(note);
  const verified = new Set<NoteVerifier>();
  for (const { name, keyId, signature } of signatures) {
    const verifier = known.find((key) => key.name === name && equalBytes(key.keyId, keyId));
    if (verifier === undefined) continue;
    if (!verifier.verify(text, signature)) {
      throw new ClawError("E_NOTE", `The signature of ${name} does not verify.`);
    }
    verified.add(verifier);
  }
  if (verified.size === 0) throw new ClawError("E_NOTE", "No known key signed the note.");
  return { text, verified: [...verified] };
}

/** A public key as text: NAME+ID+BASE64 of type and key (a vkey). */
export function formatVerifierKey(name: string, type: number, publicKey: Uint8Array): string {
  const id = toHex(noteKeyId(name, type, publicKey));
  return `${name}+${id}+${toBase64(concat(Uint8Array.of(type), publicKey))}`;
}

/** The public keys in a text, one a line. */
export function verifierKeys(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}

export interface VerifierKey {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly type: number;
  readonly publicKey: Uint8Array;
}

/** Errors: E_NOTE when it is malformed or its ID is not that of its key. */
export function parseVerifierKey(vkey: string): VerifierKey {
  // The base64 may hold plus signs, the name may not.
  const match = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey.trim());
  const [, name, id, encoded] = match ?? [];
  const bytes = fromBase64(encoded ?? "");
  const keyId = fromHex(id ?? "");
  if (!isKeyName(name) || keyId === undefined || bytes === undefined || bytes.length < 2) {
    throw new ClawError("E_NOTE", "A public key is not of the form NAME+ID+BASE64.");
  }
  const [type, publicKey] = [bytes[0] as number, bytes.slice(1)];
  if (!equalBytes(keyId, noteKeyId(name, type, publicKey))) {
    throw new ClawError("E_NOTE", `The ID of the public key of ${name} is not that of the key.`);
  }
  return { name, keyId, type, publicKey };
}

/** Neither empty nor with white space or a plus sign. */
function isKeyName(name: string | undefined): name is string {
  return name !== undefined && /^[^\s+]+$/u.test(name);
}

function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 && code !== 0x0a) return true;
  }
  return false;
}

function malformed(why: string): ClawError {
  return new ClawError("E_NOTE", `The signed note is malformed: ${why}.`);
}
