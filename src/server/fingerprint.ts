/** What computes an answer, in one short word, as far as it could change the answer. */

import { createHash } from "node:crypto";
import type { EngineInfo } from "../engine/mod.ts";
import type { Model } from "../model/mod.ts";

/** Of the digest, in hexadecimal digits: 64 bits tell models apart; nobody is meant to forge one. */
const DIGEST_DIGITS = 16;
const READ_BYTES = 1024 * 1024;

/**
 * SHA-256 over a model file's header (metadata, tokenizer, chat template, names, types and places of the tensors) and
 * its size, in hexadecimal. The weights themselves are not read.
 */
export function modelDigest({ gguf, source }: Pick<Model, "gguf" | "source">): string {
  const hash = createHash("sha256").update(`${source.size}\n`);
  const end = Math.min(gguf.dataOffset, source.size);
  for (let from = 0; from < end; from += READ_BYTES) {
    hash.update(source.read(from, Math.min(READ_BYTES, end - from)));
  }
  return hash.digest("hex");
}

/** The `system_fingerprint` of answers. Devices, threads and batches are not in it: they change no bit. */
export function fingerprintOf(
  version: string,
  { format, kvFormat }: Pick<EngineInfo, "format" | "kvFormat">,
  digest: string,
): string {
  return `openclaw-${version}-${format}-kv_${kvFormat}-${digest.slice(0, DIGEST_DIGITS)}`;
}

/** The same with an adapter. */
export function adaptedFingerprint(fingerprint: string, digest: string): string {
  return `${fingerprint}-lora_${digest.slice(0, DIGEST_DIGITS)}`;
}
