/** I/O: ECDSA keys in PEM files. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { ClawError } from "../base/mod.ts";
import { KEY_BYTES_MAX } from "./limits.ts";

/** Curves by their names in OpenSSL, with the hash that signs on each (sigstore's PublicKeyDetails). */
const curves: Readonly<Record<string, "sha256" | "sha384">> = { prime256v1: "sha256", secp384r1: "sha384" };

/** Bits that open a file to others than its owner. */
const OTHERS = 0o077;

/** The hash that goes with a key. Errors: E_KEY for any but P-256 and P-384. */
export function hashOf(key: KeyObject): "sha256" | "sha384" {
  const hash = curves[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (key.asymmetricKeyType === "ec" && hash !== undefined) return hash;
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  throw new ClawError("E_KEY", `A key of ${details?.namedCurve ?? type} is not taken; P-256 and P-384 are.`);
}

/** Errors: E_KEY when the file is missing, open to others, or no private key of a curve that is taken. */
export function readPrivateKey(path: string): KeyObject {
  return readKey(path, createPrivateKey, OTHERS);
}

/** Errors: E_KEY. Public keys may be read by anyone, but only their owner may write them. */
export function readPublicKey(path: string): KeyObject {
  return readKey(path, readPublic, 0o022);
}

/** A private key would do, too, for Node; then it lies where only public ones belong. */
function readPublic(pem: string): KeyObject {
  // `certtool` writes words before the PEM block, which OpenSSL passes over.
  if (pem.includes("PRIVATE KEY")) throw new Error("it is a private key");
  return createPublicKey(pem);
}

function readKey(path: string, create: (pem: string) => KeyObject, forbidden: number): KeyObject {
  let key: KeyObject;
  try {
    const descriptor = openSync(path, "r");
    try {
      const { mode, size } = fstatSync(descriptor);
      if ((mode & forbidden) !== 0) {
        const [can, closes] = forbidden === OTHERS ? ["use", "600"] : ["write", "go-w"];
        throw new Error(`others can ${can} it; chmod ${closes} closes it`);
      }
      if (size > KEY_BYTES_MAX) throw new Error(`it has ${size} bytes`);
      key = create(readFileSync(descriptor, "utf8"));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_KEY", `The key ${path} is not taken: ${reason}.`, { cause: error });
  }
  hashOf(key);
  return key;
}

/** A new P-256 pair: the private key with mode 0600 at `path`, the public one at `path`.pub. Errors: E_KEY; nothing is replaced. */
export function makeKeys(path: string): { readonly privateKey: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const files = { privateKey: path, publicKey: `${path}.pub` };
  try {
    writeFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flag: "wx" });
    writeFileSync(files.publicKey, publicPem(publicKey), { mode: 0o644, flag: "wx" });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_KEY", `The keys are not written to ${path}: ${reason}.`, { cause: error });
  }
  return files;
}

export function publicPem(key: KeyObject): string {
  return key.export({ type: "spki", format: "pem" }).toString();
}
