/**
 * A signature as OpenSSF Model Signing 1.0 has it: a sigstore bundle v0.3 around a DSSE envelope (secure-systems-lab/dsse,
 * protocol 1.0.0) around an in-toto statement.
 */

import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { ClawError } from "../base/mod.ts";
import { fromBase64, fromUtf8 } from "../crypto/mod.ts";
import { hashOf, publicPem } from "./keys.ts";

const MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** Signs a statement, in its JSON. */
export function signBundle(statement: string, key: KeyObject): string {
  const payload = Buffer.from(statement, "utf8");
  const signature = sign(hashOf(key), preAuthentication(payload), key);
  return JSON.stringify({
    mediaType: MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: hintOf(createPublicKey(key)) }, tlogEntries: [] },
    dsseEnvelope: {
      payload: payload.toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: signature.toString("base64"), keyid: "" }],
    },
  });
}

/** The statement that one of `keys` signed, as it was parsed, and which of them. Errors: E_SEAL. */
export function openBundle<K extends { readonly key: KeyObject }>(
  text: string,
  keys: readonly K[],
): { readonly statement: unknown; readonly by: K } {
  const bundle = record(parse(text, "The bundle"), "The bundle");
  if (bundle["mediaType"] !== MEDIA_TYPE) {
    throw refused(`its media type is ${JSON.stringify(bundle["mediaType"])}, not ${MEDIA_TYPE}`);
  }
  const material = record(bundle["verificationMaterial"], "its verification material");
  const envelope = record(bundle["dsseEnvelope"], "its envelope");
  if (envelope["payloadType"] !== PAYLOAD_TYPE) {
    throw refused(`its payload type is ${JSON.stringify(envelope["payloadType"])}, not ${PAYLOAD_TYPE}`);
  }
  const payload = bytes(envelope["payload"], "its payload");
  const signatures = envelope["signatures"];
  if (!Array.isArray(signatures) || signatures.length !== 1) throw refused("it does not have one signature");
  const signature = bytes(record(signatures[0], "its signature")["sig"], "its signature");
  const { hint } = record(material["publicKey"], "its public key") as { readonly hint?: unknown };
  const named = typeof hint === "string" ? keys.filter(({ key }) => hintOf(key) === hint) : keys;
  if (named.length === 0) throw refused("another key signed it");
  const by = named.find(({ key }) => verify(hashOf(key), preAuthentication(payload), key, signature));
  if (by === undefined) throw refused("no trusted key signed it, or it was altered since");
  return { statement: parse(fromUtf8(payload), "its statement"), by };
}

/** What is signed: DSSE's pre-authentication encoding. */
function preAuthentication(payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `;
  return Buffer.concat([Buffer.from(head, "utf8"), payload]);
}

/** By which Model Signing names a key: SHA-256 of its PEM. */
function hintOf(key: KeyObject): string {
  return createHash("sha256").update(publicPem(key)).digest("hex");
}

export function refused(reason: string): ClawError {
  return new ClawError("E_SEAL", `The seal is not taken: ${reason}.`);
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ClawError("E_SEAL", `The seal is not taken: ${what} is not JSON.`, { cause: error });
  }
}

/** An object of JSON. Errors: E_SEAL. */
export function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw refused(`${what} is no object`);
}

function bytes(value: unknown, what: string): Uint8Array {
  const decoded = typeof value === "string" ? fromBase64(value) : undefined;
  if (decoded === undefined || decoded.length === 0) throw refused(`${what} is not base64`);
  return decoded;
}
