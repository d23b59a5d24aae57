/**
 * Checkpoints on a disk: each a few parts and a manifest with their digests. The parts are durable before the manifest is
 * written, and an older checkpoint is removed only when two newer ones are whole, so whatever a crash leaves, the last checkpoint
 * that was finished is found again, or a newer one.
 */

import { assert } from "../../base/mod.ts";
import type { CheckpointDisk } from "./disk.ts";
import {
  CHECKPOINT_FORMAT,
  decodeManifest,
  encodeManifest,
  FOLDER,
  type Manifest,
  manifestPath,
  partPath,
  sha256,
  stepOfFile,
} from "./manifest.ts";

export interface CheckpointContent {
  /** Steps done. */
  readonly step: number;
  /** By name: small letters. */
  readonly parts: ReadonlyMap<string, Uint8Array>;
  /** Anything that JSON holds. */
  readonly meta: unknown;
}

/** The newest checkpoint, and the one before it in case the newest turns out to be damaged. */
const KEPT = 2;
/** Bytes of a part that are written at a time. */
const CHUNK_BYTES = 1 << 24;

/** Writes a checkpoint and removes what has become old; whole and durable when it resolves. */
export async function writeCheckpoint(disk: CheckpointDisk, content: CheckpointContent): Promise<void> {
  const { step, parts, meta } = content;
  assert(Number.isSafeInteger(step) && step >= 0, "A step is a count.");
  const entries = [...parts].map(([name, bytes]) => ({ name, bytes: bytes.length, digest: sha256(bytes) }));
  for (const [name, bytes] of parts) {
    const path = partPath(step, name);
    // What an attempt that a crash broke off left there.
    await disk.remove(path);
    for (let start = 0; start === 0 || start < bytes.length; start += CHUNK_BYTES) {
      await disk.append(path, bytes.subarray(start, start + CHUNK_BYTES));
    }
    await disk.sync(path);
  }
  const manifest: Manifest = { format: CHECKPOINT_FORMAT, step, parts: entries, meta };
  await disk.replace(manifestPath(step), encodeManifest(manifest));
  await removeOld(disk, step);
}

/** The newest whole checkpoint; undefined where there is none. */
export async function readCheckpoint(disk: CheckpointDisk): Promise<CheckpointContent | undefined> {
  for (const step of (await manifestSteps(disk)).toReversed()) {
    const found = await readWhole(disk, step);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function readWhole(disk: CheckpointDisk, step: number): Promise<CheckpointContent | undefined> {
  const bytes = await disk.read(manifestPath(step));
  const manifest = bytes === undefined ? undefined : decodeManifest(bytes);
  if (manifest?.step !== step) return undefined;
  const parts = new Map<string, Uint8Array>();
  for (const { name, bytes: size, digest } of manifest.parts) {
    const part = await disk.read(partPath(step, name));
    if (part?.length !== size || sha256(part) !== digest) return undefined;
    parts.set(name, part);
  }
  return { step, parts, meta: manifest.meta };
}

/** Ascending. */
async function manifestSteps(disk: CheckpointDisk): Promise<number[]> {
  const files = (await disk.list(FOLDER)).map(stepOfFile);
  const steps = files.flatMap((file) => (file?.isManifest === true ? [file.step] : []));
  return steps.toSorted((a, b) => a - b);
}

/**
 * Removes every file of a step that is not among the newest up to `step`: also parts without a manifest, and checkpoints of
 * later steps that turned out to be damaged, for this run has just passed them by.
 */
async function removeOld(disk: CheckpointDisk, step: number): Promise<void> {
  const kept = new Set((await manifestSteps(disk)).filter((each) => each <= step).slice(-KEPT));
  const names = await disk.list(FOLDER);
  const old = names.filter((name) => {
    const file = stepOfFile(name);
    return file !== undefined && !kept.has(file.step);
  });
  // A manifest goes before its parts, so that nothing looks whole that is not.
  const order = (name: string): number => (stepOfFile(name)?.isManifest === true ? 0 : 1);
  for (const name of old.toSorted((a, b) => order(a) - order(b))) await disk.remove(`${FOLDER}/${name}`);
}
