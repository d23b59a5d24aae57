/** A checkpoint's manifest: what it is made of, and the digest of each part. */

import { createHash } from "node:crypto";

export interface PartEntry {
  /** A word; the part's file is NAME of the checkpoint's step. */
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 in hexadecimal digits. */
  readonly digest: string;
}

export interface Manifest {
  readonly format: typeof CHECKPOINT_FORMAT;
  /** Steps done. */
  readonly step: number;
  readonly parts: readonly PartEntry[];
  /** What else going on takes: data cursor, fingerprint of the run; as JSON. */
  readonly meta: unknown;
}

export const CHECKPOINT_FORMAT = "openclaw checkpoint 1";
/** A manifest beyond this was not written here. */
const MANIFEST_BYTES_MAX = 1 << 20;
/** Parts in a checkpoint. */
const PARTS_MAX = 64;
/** Digits of a step in file names, so that they sort. */
const STEP_DIGITS = 12;

export const FOLDER = "checkpoints";
const MANIFEST_SUFFIX = "json";

const stepName = (step: number): string => String(step).padStart(STEP_DIGITS, "0");

export function partPath(step: number, name: string): string {
  return `${FOLDER}/${stepName(step)}.${name}`;
}

export function manifestPath(step: number): string {
  return partPath(step, MANIFEST_SUFFIX);
}

/** The step that a file of the folder belongs to, and whether it is the manifest; undefined for other files. */
export function stepOfFile(
  name: string,
): { readonly step: number; readonly isManifest: boolean } | undefined {
  const [, digits, part] = /^(\d{12})\.([a-z]+)(?:\.partial)?$/.exec(name) ?? [];
  if (digits === undefined) return undefined;
  return { step: Number(digits), isManifest: part === MANIFEST_SUFFIX && name.endsWith(MANIFEST_SUFFIX) };
}

/** The manifest as JSON, and the digest of that on a line of its own. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const text = JSON.stringify(manifest);
  return new TextEncoder().encode(`${text}\n${sha256(text)}\n`);
}

/** Undefined for what is no manifest, or a damaged one. */
export function decodeManifest(bytes: Uint8Array): Manifest | undefined {
  if (bytes.length > MANIFEST_BYTES_MAX) return undefined;
  const [text = "", digest, end] = new TextDecoder().decode(bytes).split("\n");
  if (digest !== sha256(text) || end !== "") return undefined;
  const manifest = JSON.parse(text) as Manifest | null;
  if (manifest?.format !== CHECKPOINT_FORMAT || !Array.isArray(manifest.parts)) return undefined;
  return manifest.parts.length <= PARTS_MAX && manifest.parts.every(isPart) ? manifest : undefined;
}

function isPart({ name, bytes, digest }: PartEntry): boolean {
  const sized = Number.isSafeInteger(bytes) && bytes >= 0;
  return sized && /^[a-z]+$/.test(name) && name !== MANIFEST_SUFFIX && /^[0-9a-f]{64}$/.test(digest);
}

export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}
