/**
 * The handshake Noise_NNpsk0_25519_AESGCM_SHA256 of the Noise Protocol Framework (revision 34): both sides prove a secret that they
 * share beforehand, and agree on keys that it does not reveal, were it lost later.
 */

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { assert, ClawError } from "../../base/mod.ts";
import { concat, fromHex, utf8 } from "../../crypto/mod.ts";

const PROTOCOL = "Noise_NNpsk0_25519_AESGCM_SHA256";
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** Of a message's payload: the sender's ephemeral key goes before it, a tag after it. */
export const NOISE_OVERHEAD_BYTES: number = KEY_BYTES + TAG_BYTES;

/** What both sides have in the end. */
export interface NoiseKeys {
  /** Of what the initiator sends, and of what the responder sends. */
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
  /** A secret of this handshake alone, to prove that one took part in it. */
  readonly confirmation: Uint8Array;
}

/** Either side of a handshake of two messages, the initiator's first. */
export class NoiseHandshake {
  #hash: Uint8Array;
  #chaining: Uint8Array;
  #key: Uint8Array = new Uint8Array();
  #nonce = 0;
  readonly #ephemeral: KeyObject;

  /** `ephemeral`, a private key, is only given by tests. */
  constructor(prologue: Uint8Array, secret: Uint8Array, ephemeral?: Uint8Array) {
    assert(secret.length === KEY_BYTES, "The secret has 32 bytes.");
    this.#ephemeral =
      ephemeral === undefined ? generateKeyPairSync("x25519").privateKey : privateKeyOf(ephemeral);
    this.#chaining = utf8(PROTOCOL); // as long as a hash
    this.#hash = this.#chaining;
    this.#mixHash(prologue);
    const [chaining, hashed, key] = this.#derive(secret);
    this.#chaining = chaining;
    this.#mixHash(hashed);
    this.#setKey(key);
  }

  /** The next message, with a payload that only the peer reads. */
  write(payload: Uint8Array): Uint8Array {
    const key = publicBytes(createPublicKey(this.#ephemeral));
    this.#mixEphemeral(key);
    return concat(key, this.#seal(payload));
  }

  /** The payload of the peer's message. E_LINK_PEER where it does not know the secret, or the message was altered. */
  read(message: Uint8Array): Uint8Array {
    if (message.length < NOISE_OVERHEAD_BYTES) throw refused();
    this.#mixEphemeral(message.subarray(0, KEY_BYTES));
    return this.#open(message.subarray(KEY_BYTES));
  }

  /** The second message as its sender makes it, after the first was read, and as its reader reads it. */
  writeAnswer(payload: Uint8Array, message: Uint8Array): Uint8Array {
    const key = publicBytes(createPublicKey(this.#ephemeral));
    this.#mixEphemeral(key);
    this.#mixShared(message);
    return concat(key, this.#seal(payload));
  }

  readAnswer(answer: Uint8Array): Uint8Array {
    if (answer.length < NOISE_OVERHEAD_BYTES) throw refused();
    this.#mixEphemeral(answer.subarray(0, KEY_BYTES));
    this.#mixShared(answer);
    return this.#open(answer.subarray(KEY_BYTES));
  }

  /** After both messages. */
  split(): NoiseKeys {
    const [initiator, responder, confirmation] = this.#derive(new Uint8Array());
    return { initiator, responder, confirmation };
  }

  /** Mixes what both ephemeral keys agree on; the peer's is at the beginning of its message. */
  #mixShared(message: Uint8Array): void {
    const publicKey = publicKeyOf(message.subarray(0, KEY_BYTES));
    try {
      this.#mixKey(diffieHellman({ privateKey: this.#ephemeral, publicKey }));
    } catch {
      throw refused(); // a point of small order: all secrets would be the same
    }
  }

  #mixHash(data: Uint8Array): void {
    this.#hash = createHash("sha256").update(this.#hash).update(data).digest();
  }

  #mixKey(input: Uint8Array): void {
    const [chaining, key] = this.#derive(input);
    this.#chaining = chaining;
    this.#setKey(key);
  }

  /** With a secret known beforehand, ephemeral keys go into the key, too (section 9.2). */
  #mixEphemeral(publicKey: Uint8Array): void {
    this.#mixHash(publicKey);
    this.#mixKey(publicKey);
  }

  #setKey(key: Uint8Array): void {
    this.#key = key;
    this.#nonce = 0;
  }

  #seal(payload: Uint8Array): Uint8Array {
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonceOf(this.#nonce++)).setAAD(this.#hash);
    const sealed = concat(cipher.update(payload), cipher.final(), cipher.getAuthTag());
    this.#mixHash(sealed);
    return sealed;
  }

  #open(sealed: Uint8Array): Uint8Array {
    const end = sealed.length - TAG_BYTES;
    const cipher = createDecipheriv("aes-256-gcm", this.#key, nonceOf(this.#nonce++)).setAAD(this.#hash);
    cipher.setAuthTag(sealed.subarray(end));
    try {
      const payload = concat(cipher.update(sealed.subarray(0, end)), cipher.final());
      this.#mixHash(sealed);
      return payload;
    } catch {
      throw refused();
    }
  }

  /** HKDF (section 4.3) with three outputs, of which the first two are those of HKDF with two. */
  #derive(input: Uint8Array): readonly [Uint8Array, Uint8Array, Uint8Array] {
    const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array =>
      createHmac("sha256", key)
        .update(concat(...parts))
        .digest();
    const temporary = hmac(this.#chaining, input);
    const first = hmac(temporary, Uint8Array.of(1));
    const second = hmac(temporary, first, Uint8Array.of(2));
    return [first, second, hmac(temporary, second, Uint8Array.of(3))];
  }
}

function refused(): ClawError {
  return new ClawError(
    "E_LINK_PEER",
    "A peer does not know this cluster's secret, or its words were altered.",
  );
}

function nonceOf(number: number): Uint8Array {
  assert(number < 256, "A handshake has two messages.");
  const nonce = new Uint8Array(12);
  nonce[11] = number;
  return nonce;
}

/** RFC 8410: what goes before the 32 bytes of a private key in PKCS #8. */
const PKCS8_PREFIX = "302e020100300506032b656e04220420";

function privateKeyOf(bytes: Uint8Array): KeyObject {
  const prefix = fromHex(PKCS8_PREFIX) ?? new Uint8Array();
  return createPrivateKey({ key: Buffer.from(concat(prefix, bytes)), format: "der", type: "pkcs8" });
}

function publicKeyOf(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes).toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" });
}

function publicBytes(key: KeyObject): Uint8Array {
  const { x } = key.export({ format: "jwk" });
  assert(x !== undefined, "A public key has a coordinate.");
  return Uint8Array.from(Buffer.from(x, "base64url"));
}
