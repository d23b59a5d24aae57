/** I/O: the keys a log or a witness signs with, made at first use and kept in a file of mode 0600. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { makeSecretFile, readSecretFile } from "../base/files/mod.ts";
import { ClawError } from "../base/mod.ts";
import {
  cosignatureMessage,
  formatVerifierKey,
  NOTE_KEY,
  type NoteKeyType,
  type NoteSigner,
  noteKeyId,
  subtreeMessage,
  timestamped,
  utf8,
} from "../crypto/mod.ts";

type Algorithm = "ed25519" | "ml-dsa-44";

const ALGORITHMS: Readonly<Record<NoteKeyType, Algorithm>> = {
  [NOTE_KEY.ED25519]: "ed25519",
  [NOTE_KEY.COSIGNATURE_ED25519]: "ed25519",
  [NOTE_KEY.COSIGNATURE_ML_DSA_44]: "ml-dsa-44",
};

/** A signer and its public key in text form. */
export interface SigningKey extends NoteSigner {
  readonly vkey: string;
}

/** The private key in the file `path`, which is made if there is none. Errors: E_LEDGER when others may read it. */
export function readOrMakeKey(path: string, type: NoteKeyType): KeyObject {
  makeKeyFile(path, type);
  return readKey(path, type);
}

/** A new private key in the file `path`, which must not be there. Errors: E_LEDGER. */
export function makeKey(path: string, type: NoteKeyType): KeyObject {
  if (makeKeyFile(path, type)) return readKey(path, type);
  throw new ClawError("E_LEDGER", `The key file ${path} is there already.`);
}

/** The private key in the file `path`. Errors: E_LEDGER when it is missing, or others may read it. */
export function readKey(path: string, type: NoteKeyType): KeyObject {
  return readKeyFile(path, ALGORITHMS[type]);
}

/** False where there is one already. */
function makeKeyFile(path: string, type: NoteKeyType): boolean {
  try {
    return makeSecretFile(path, () =>
      generate(ALGORITHMS[type]).privateKey.export({ type: "pkcs8", format: "pem" }),
    );
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The key file ${path} cannot be made.`, { cause });
  }
}

function generate(algorithm: Algorithm): { privateKey: KeyObject } {
  return algorithm === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ml-dsa-44");
}

function readKeyFile(path: string, algorithm: Algorithm): KeyObject {
  const text = readSecretFile(path, "The key file", "E_LEDGER");
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The key file ${path} holds no private key.`, { cause });
  }
  if (key.asymmetricKeyType === algorithm) return key;
  throw new ClawError("E_LEDGER", `The key file ${path} holds no ${algorithm} key.`);
}

export interface SigningKeyOptions {
  readonly name: string;
  readonly type: NoteKeyType;
  /** Seconds since 1970, for cosignatures. */
  readonly now: () => number;
}

/** A signer of notes with this private key. */
export function signingKey(privateKey: KeyObject, { name, type, now }: SigningKeyOptions): SigningKey {
  const publicKey = rawPublicKey(privateKey);
  const signBytes = (message: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, privateKey));
  const signText = (text: string): Uint8Array => {
    if (type === NOTE_KEY.ED25519) return signBytes(utf8(text));
    const time = now();
    if (type === NOTE_KEY.COSIGNATURE_ED25519)
      return timestamped(time, signBytes(cosignatureMessage(text, time)));
    const message = subtreeMessage(text, { name, time });
    if (message === undefined)
      throw new ClawError("E_LEDGER", `A log's or signer's name is too long: ${name}.`);
    return timestamped(time, signBytes(message));
  };
  return {
    name,
    keyId: noteKeyId(name, type, publicKey),
    vkey: formatVerifierKey(name, type, publicKey),
    sign: signText,
  };
}

/** Bytes of the SubjectPublicKeyInfo header before the raw key, of either algorithm: the key is what follows. */
function rawPublicKey(privateKey: KeyObject): Uint8Array {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const length = privateKey.asymmetricKeyType === "ed25519" ? 32 : 1312;
  return new Uint8Array(spki.subarray(spki.length - length));
}
