/** What is timed beside decoding: the same batch in steps of one sequence each, and attention without the rest. */

import type { NativePeaks } from "../kernels/mod.ts";
import { timed } from "./clock.ts";
import type { Companion } from "./decoding.ts";
import { kvBytesPerPosition, type LocalModel, noise } from "./local.ts";
import { computeShare, type Share, shareOf } from "./share.ts";
import { fillPages } from "./stepping.ts";
import { attentionProgram, SECOND } from "./tapes.ts";

/** A token of every sequence in steps of its own: what a shared step saves. */
export const apart: Companion = {
  name: "apart",
  prepare:
    (local, { sequences, context }) =>
    async () => {
      for (let first = 0; first < sequences; first++) {
        await local.decode({ first, count: 1, position: context - 1 });
      }
    },
  describe: (_local, _task, { seconds, stepSeconds }) => ({ sharedStepRatio: seconds / stepSeconds }),
};

/** The attention of all layers at the last position, against reading the keys and values once. */
export const attentionAlone: Companion = {
  name: "attention",
  prepare: (local, { context }) => {
    const { description } = local.file;
    const limits = { rows: 1, outputs: 1, pageEntries: local.pagesPerSequence };
    const executable = local.device.prepare(attentionProgram(description), limits);
    fillPages(executable);
    executable.writeBuffer(SECOND, noise(description.heads * description.headDim));
    executable.step.positions[0] = context - 1;
    return () => executable.execute(1, 0);
  },
  describe: (local, { context }, { seconds, peaks }) => {
    const share = shareOf(context * kvBytesPerPosition(local.file), seconds, peaks.readBytes);
    const timesReading = 1 / share.fraction;
    return { attention: { ...share, readSeconds: share.amount / share.ceiling, timesReading } };
  },
};

/**
 * The attention of a whole prompt, read in steps of `rows`, after its keys and values were written: its multiply-adds
 * against the f32 peak.
 */
export async function promptAttention(
  { device, file, pagesPerSequence }: LocalModel,
  { tokens, rows, peaks }: { readonly tokens: number; readonly rows: number; readonly peaks: NativePeaks },
): Promise<Share> {
  const { layers, heads, headDim } = file.description;
  const limits = { rows, outputs: 1, pageEntries: pagesPerSequence };
  const executable = device.prepare(attentionProgram(file.description), limits);
  fillPages(executable);
  executable.writeBuffer(SECOND, noise(rows * heads * headDim));
  const seconds = await timed(async () => {
    for (let first = 0; first < tokens; first += rows) {
      const fed = Math.min(rows, tokens - first);
      for (let row = 0; row < fed; row++) executable.step.positions[row] = first + row;
      await executable.execute(fed, 0);
    }
  });
  const pairs = (tokens * (tokens + 1)) / 2;
  return computeShare(pairs * layers * heads * headDim * 2, seconds, { peaks, format: "f16" });
}
