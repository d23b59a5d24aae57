/**
 * What keeps the journal from everybody but the cluster's members: a record is a 12-byte nonce, the ciphertext and a 16-byte tag of
 * AES-256-GCM, under a key that HKDF-SHA-256 derives from the cluster's secret and the stream's name. The place that it is
 * filed under is authenticated with it, so that records cannot be exchanged.
 */

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import type { RecordPlace, StoredRecord } from "./store.ts";

const PURPOSE = "openclaw journal 1";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Hexadecimal digits of a stream's name: 128 bits tell streams apart. */
const NAME_DIGITS = 32;

/** Bytes that a record has beside its text. */
export const SEAL_BYTES: number = NONCE_BYTES + TAG_BYTES;

export class JournalSeal {
  readonly #secret: Uint8Array;
  readonly #random: (count: number) => Uint8Array;

  /** `random`: bytes that nobody can foresee, for nonces. */
  constructor(secret: Uint8Array, random: (count: number) => Uint8Array) {
    this.#secret = secret;
    this.#random = random;
  }

  /** What stands for a stream in places: its id tells whoever reads them nothing. */
  nameOf(id: string): string {
    const digest = createHmac("sha256", this.#secret).update(`${PURPOSE} name ${id}`).digest("hex");
    return digest.slice(0, NAME_DIGITS);
  }

  seal(place: RecordPlace, text: Uint8Array): StoredRecord {
    const nonce = this.#random(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#keyOf(place), nonce).setAAD(spelled(place));
    const parts = [nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()];
    return { ...place, bytes: Buffer.concat(parts) };
  }

  /** The text; undefined where no member wrote it at this place. */
  open({ bytes, ...place }: StoredRecord): Uint8Array | undefined {
    if (bytes.length < SEAL_BYTES) return undefined;
    const end = bytes.length - TAG_BYTES;
    try {
      const decipher = createDecipheriv("aes-256-gcm", this.#keyOf(place), bytes.subarray(0, NONCE_BYTES));
      decipher.setAAD(spelled(place)).setAuthTag(bytes.subarray(end));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, end)), decipher.final()]);
    } catch {
      return undefined;
    }
  }

  #keyOf({ stream }: RecordPlace): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#secret, stream, PURPOSE, KEY_BYTES));
  }
}

function spelled({ epoch, stream, kind }: RecordPlace): Uint8Array {
  return Buffer.from(`${epoch} ${stream} ${kind}`);
}
