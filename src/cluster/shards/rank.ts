/** A rank: one shard of one stage, on a device of its own. Does what the process with the engine tells it, in order. */

import { asClawError } from "../../base/mod.ts";
import {
  type Device,
  type Executable,
  exchangesSince,
  type KvFormat,
  type KvPages,
  NO_EXCHANGES,
  type RankLink,
  type StepLimits,
} from "../../kernels/mod.ts";
import {
  loadProgram,
  type OpenedFile,
  type PackedStore,
  type RankProgram,
  type TensorReader,
} from "../../model/mod.ts";
import {
  AnswerWriter,
  type Command,
  CommandReader,
  placeStep,
  type StepSize,
  sendFailure,
  sendPart,
} from "./step-message.ts";

/** What all ranks of a placement have in common. */
export interface RankSizes {
  readonly limits: StepLimits;
  /** Positions the RoPE table covers. */
  readonly positions: number;
  readonly kvFormat: KvFormat;
  /** KV pages; every rank has its layers' and heads' part of each. */
  readonly pagesMax: number;
}

/** A rank that can run steps. */
export interface ReadyRank {
  readonly executable: Executable;
  readonly kv: KvPages;
}

export interface PrepareTask {
  readonly rank: RankProgram;
  readonly sizes: RankSizes;
  /** To its peers, in their order. */
  readonly links: readonly RankLink[];
  /** A cache of packed weights, and what checks the model's bytes; undefined: none. */
  readonly packed?: PackedStore | undefined;
  readonly tensors?: TensorReader | undefined;
}

/** Loads a rank's slice onto its device. What loading refuses. */
export async function prepareRank(device: Device, model: OpenedFile, task: PrepareTask): Promise<ReadyRank> {
  const { rank, sizes, links, packed, tensors } = task;
  const loading = { compiled: rank, context: sizes.positions, packed, tensors };
  const program = await loadProgram(device, model, loading);
  device.allocateKv({ ...rank.kv, format: sizes.kvFormat, pages: sizes.pagesMax });
  return { executable: device.prepare(program, sizes.limits, links), kv: device };
}

export interface ServedRank {
  /** To the process with the engine. */
  readonly link: RankLink;
  readonly limits: StepLimits;
  /** To other ranks: closed when the engine is gone, so that a step that waits for one of them ends. */
  readonly peers: readonly RankLink[];
}

/** Does what comes over `link` until it is told to end. E_LINK when the link breaks, or what it brings makes no sense. */
export async function serveRank(
  { executable, kv }: ReadyRank,
  { link, limits, peers }: ServedRank,
): Promise<void> {
  const commands = new CommandReader(link, limits);
  const answers = new AnswerWriter(link);
  const next = (): Promise<Command> => {
    const command = commands.next();
    command.catch(() => {
      for (const peer of peers) peer.close();
    });
    return command;
  };
  const part = new Uint8Array(kv.kvPageBytes);
  for (let command = await next(); command.kind !== "end"; ) {
    if (command.kind === "step") placeStep(executable.step, command.size, command.words);
    if (command.kind === "write") await link.receive(part);
    // Asked for before the step runs: that the engine is gone shows there.
    const following = next();
    if (command.kind === "copy") kv.copyPage(command.from, command.to);
    else if (command.kind === "discard") kv.discardPage(command.page);
    else if (command.kind === "write") kv.writePage(command.page, part);
    else if (command.kind === "read") readPart(kv, link, command.page);
    else await step(executable, { link, answers }, command.size);
    command = await following;
  }
}

/** The next step does not wait until it is sent; that it cannot be shows when the next command does not come. */
function readPart(kv: KvPages, link: RankLink, page: number): void {
  sendPart(link, kv.kvPageBytes, (into) => kv.readPage(page, into)).catch(() => {});
}

async function step(
  executable: Executable,
  { link, answers }: { readonly link: RankLink; readonly answers: AnswerWriter },
  size: StepSize,
): Promise<void> {
  const { step: block } = executable;
  const before = executable.exchangeCounts?.() ?? NO_EXCHANGES;
  try {
    await executable.execute(size.rows, size.outputs);
  } catch (error) {
    return sendFailure(link, asClawError(error));
  }
  const after = executable.exchangeCounts?.() ?? NO_EXCHANGES;
  const perOutput = block.logits.length / block.outputs.length;
  await answers.send({
    status: block.status.subarray(0, size.rows),
    logits: block.logits.subarray(0, size.outputs * perOutput),
    exchanged: exchangesSince(before, after),
  });
}
