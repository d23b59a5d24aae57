/**
 * All ranks of a placement as one executable and one KV cache: what the engine steps, without knowing. A step goes to
 * every rank; the last stage's ranks answer with their parts of the logits.
 */

import { asClawError, assert, at, ClawError } from "../../base/mod.ts";
import {
  addExchanges,
  type ExchangeCounts,
  type Executable,
  KV_PAGE_TOKENS,
  type KvPages,
  NO_EXCHANGES,
  type RankLink,
  type StepBlock,
} from "../../kernels/mod.ts";
import type { RankProgram } from "../../model/mod.ts";
import { PARTS_UNDER_WAY_MAX } from "./limits.ts";
import { type MicroBatch, microBatches } from "./micro-batch.ts";
import { cutPart, type PageShape, pageBytes, partBytes, placePart } from "./page-parts.ts";
import type { RankSizes } from "./rank.ts";
import { RankChannel } from "./rank-channel.ts";
import type { RankWatch } from "./rank-watch.ts";
import { Rooms } from "./rooms.ts";
import {
  answerBytes,
  firstLogits,
  readAnswer,
  type StepAnswer,
  sendCommand,
  sendStep,
} from "./step-message.ts";

/** A rank as the engine's process sees it. */
export interface RemoteRank {
  readonly rank: RankProgram;
  readonly link: RankLink;
}

interface LinkedRank {
  readonly rank: RankProgram;
  readonly channel: RankChannel;
  /** For parts of pages on their way to it. */
  readonly parts: Rooms;
  /** In all steps until now. */
  exchanged: ExchangeCounts;
}

export interface PlacedOptions {
  readonly ranks: readonly RemoteRank[];
  readonly sizes: RankSizes;
  readonly vocabulary: number;
  /** Bytes of a KV page over all ranks. */
  readonly pageBytes: number;
  /** How pages are copied out; undefined: they cannot be. */
  readonly shape?: PageShape | undefined;
  /** Rows of a micro-batch at least. */
  readonly microBatchRows: number;
  /** Hears of ranks and steps. */
  readonly watch?: Pick<RankWatch, "beat" | "began"> | undefined;
}

/** What step blocks over the same ranks have in common. */
interface Shared {
  readonly lost: AbortController;
  /** Answers come in the order of the steps, whichever block they are of. */
  readonly ranks: readonly LinkedRank[];
  /** Whether they were told to end. */
  ended: boolean;
  /** Steps under way, and those that were begun while another was. */
  underWay: number;
  besideSteps: number;
}

export class PlacedExecutable implements Executable, KvPages {
  readonly step: StepBlock;
  readonly kvPageBytes: number;
  /** Steps that were cut into micro-batches. */
  cutSteps = 0;
  lastExchanges: ExchangeCounts = NO_EXCHANGES;
  readonly #options: PlacedOptions;
  readonly #stages: number;
  readonly #shared: Shared;

  constructor(options: PlacedOptions, shared?: Shared) {
    const { sizes, vocabulary, pageBytes, ranks } = options;
    const { rows, outputs, pageEntries } = sizes.limits;
    this.#options = options;
    this.#shared = shared ?? {
      lost: new AbortController(),
      ranks: this.#link(),
      ended: false,
      underWay: 0,
      besideSteps: 0,
    };
    this.#stages = 1 + ranks.reduce((last, { rank }) => Math.max(last, rank.stage), 0);
    this.kvPageBytes = pageBytes;
    this.step = {
      tokens: new Int32Array(rows),
      positions: new Int32Array(rows),
      pageStart: new Int32Array(rows),
      pages: new Int32Array(pageEntries),
      adapters: new Int32Array(rows),
      outputs: new Int32Array(outputs),
      logits: new Float32Array(outputs * vocabulary),
      status: new Int32Array(rows),
    };
  }

  /** Steps of all blocks that were begun while another was under way. */
  get besideSteps(): number {
    return this.#shared.besideSteps;
  }

  /** Aborted with the error that made every further step fail. */
  get lost(): AbortSignal {
    return this.#shared.lost.signal;
  }

  /**
   * Another step block over the same ranks and pages. A step of each may be under way at a time: while one is in a stage, the other is in
   * the next. They are of different sequences.
   */
  beside(): PlacedExecutable {
    return new PlacedExecutable(this.#options, this.#shared);
  }

  /** E_LINK when a rank is lost, or what a rank says went wrong; after that, every step fails. */
  async execute(rows: number, outputs: number): Promise<void> {
    if (this.lost.aborted) throw this.lost.reason;
    const { microBatchRows, watch } = this.#options;
    const size = { rows, outputs, pageEntries: pagesUsed(this.step, rows) };
    const batches = microBatches(this.step, size, { stages: this.#stages, rows: microBatchRows });
    if (batches.length > 1) this.cutSteps++;
    this.step.status.fill(0, 0, rows);
    const ended = watch?.began(rows);
    if (this.#shared.underWay++ > 0) this.#shared.besideSteps++;
    try {
      const exchanged = await Promise.all(this.#shared.ranks.map((rank) => this.#runRank(rank, batches)));
      this.lastExchanges = together(exchanged);
    } catch (error) {
      this.lose(asClawError(error));
      // Why the first rank was lost, where links were closed because of it.
      throw this.lost.reason ?? error;
    } finally {
      this.#shared.underWay--;
    }
    ended?.();
  }

  copyPage(from: number, to: number): void {
    for (const { link } of this.#options.ranks) this.#tell(sendCommand(link, { kind: "copy", from, to }));
  }

  discardPage(page: number): void {
    for (const { link } of this.#options.ranks) this.#tell(sendCommand(link, { kind: "discard", page }));
  }

  /** A copy of a page as it is now, over all ranks, in the form that `PageShape` describes. */
  async copyOut(page: number): Promise<Uint8Array> {
    const shape = this.#shape();
    const whole = new Uint8Array(pageBytes(shape));
    const read = this.#shared.ranks.map(async ({ rank, channel }) => {
      const sent = sendCommand(channel.link, { kind: "read", page });
      const bytes = partBytes(shape, rank);
      await Promise.all([channel.answer(bytes, (part) => placePart(whole, part, shape, rank)), sent]);
    });
    await Promise.all(read);
    return whole;
  }

  /** Makes a page what was copied. Resolves when every rank is told, before what it is told next. */
  async copyIn(page: number, whole: Uint8Array): Promise<void> {
    if (this.lost.aborted) return;
    const shape = this.#shape();
    const tell = async ({ rank, channel, parts }: LinkedRank): Promise<void> => {
      const part = await parts.take();
      cutPart(whole, part, shape, rank);
      this.#tell(sendCommand(channel.link, { kind: "write", page }));
      this.#tell(channel.link.send(part).finally(() => parts.give(part)));
    };
    await Promise.all(this.#shared.ranks.map(tell));
  }

  readPage(): void {
    throw new ClawError("E_INTERNAL", "Pages of a placement stay with its ranks.");
  }

  writePage(): void {
    throw new ClawError("E_INTERNAL", "Pages of a placement stay with its ranks.");
  }

  writeBuffer(): void {
    throw new ClawError("E_INTERNAL", "Buffers of a placement are its ranks' own.");
  }

  readBuffer(): Float32Array {
    throw new ClawError("E_INTERNAL", "Buffers of a placement are its ranks' own.");
  }

  /** What each rank exchanged with others in all steps of all blocks. */
  get exchangesOfRanks(): readonly ExchangeCounts[] {
    return this.#shared.ranks.map(({ exchanged }) => exchanged);
  }

  /** No step succeeds any more. Ranks that wait for one that is lost must not wait for ever, so all links are closed. */
  lose(error: ClawError): void {
    if (this.#shared.ended) return;
    this.#shared.lost.abort(error);
    for (const { link } of this.#options.ranks) link.close();
  }

  /** Tells every rank to end. */
  async end(): Promise<void> {
    this.#shared.ended = true;
    const ranks = this.lost.aborted ? [] : this.#options.ranks;
    await Promise.allSettled(ranks.map(({ link }) => sendCommand(link, { kind: "end" })));
  }

  /** All micro-batches at once: the rank takes them one after the other, and passes each on when it is done. */
  async #runRank(linked: LinkedRank, batches: readonly MicroBatch[]): Promise<ExchangeCounts> {
    const { rank, channel } = linked;
    const range = rank.logits ?? [0, 0];
    let exchanged = NO_EXCHANGES;
    await Promise.all(
      batches.map(async (batch) => {
        const { step, size } = batch;
        const values = size.outputs * (range[1] - range[0]);
        const take = (bytes: Uint8Array): void => {
          const said = readAnswer(bytes, size.rows);
          this.#take(said, batch, range);
          exchanged = addExchanges(exchanged, said.exchanged);
        };
        const answer = channel.answer(answerBytes(size.rows, values), take, this.#restOf(batch, range));
        await Promise.all([sendStep(channel.link, step, size), answer]);
      }),
    );
    linked.exchanged = addExchanges(linked.exchanged, exchanged);
    return exchanged;
  }

  #link(): LinkedRank[] {
    const { ranks, shape, watch } = this.#options;
    return ranks.map(({ rank, link }, index) => {
      const listener = { beat: () => watch?.beat(index), lost: (error: ClawError) => this.lose(error) };
      const parts = new Rooms(shape === undefined ? 0 : partBytes(shape, rank), PARTS_UNDER_WAY_MAX);
      return { rank, channel: new RankChannel(link, listener), parts, exchanged: NO_EXCHANGES };
    });
  }

  #shape(): PageShape {
    const { shape } = this.#options;
    assert(shape !== undefined, "Pages are copied only where ranks keep them alike.");
    return shape;
  }

  #take({ status, logits }: StepAnswer, batch: MicroBatch, [first, end]: readonly [number, number]): void {
    for (const [row, bits] of status.entries()) {
      this.step.status[batch.firstRow + row] = at(this.step.status, batch.firstRow + row) | bits;
    }
    const { vocabulary } = this.#options;
    const width = end - first;
    for (const [i, output] of batch.outputs.entries()) {
      this.step.logits.set(logits.subarray(i * width, (i + 1) * width), output * vocabulary + first);
    }
  }

  /**
   * Where the logits of an answer belong that its first piece has no room for; undefined where they do not lie together, since the rank has
   * only some of the vocabulary, or its outputs do not follow one another.
   */
  #restOf({ size, outputs }: MicroBatch, [first, end]: readonly [number, number]): Uint8Array | undefined {
    const { vocabulary } = this.#options;
    const [begin = 0] = outputs;
    const together = outputs.every((output, i) => output === begin + i);
    if (!together || end - first !== vocabulary) return undefined;
    const values = size.outputs * vocabulary;
    const place = begin * vocabulary;
    const rest = this.step.logits.subarray(place + firstLogits(size.rows, values), place + values);
    return new Uint8Array(rest.buffer, rest.byteOffset, rest.byteLength);
  }

  /** What went wrong is told by the next step. */
  #tell(sent: Promise<void>): void {
    sent.catch((error) => this.lose(asClawError(error)));
  }
}

/** Of all ranks; exchanges have two sides and more, so of those the rank counts that had the most, as of seconds. */
function together(ranks: readonly ExchangeCounts[]): ExchangeCounts {
  const all = ranks.reduce(addExchanges, NO_EXCHANGES);
  const most = (of: "exchanges" | "waitedSeconds"): number => Math.max(...ranks.map((rank) => rank[of]));
  return { ...all, exchanges: most("exchanges"), waitedSeconds: most("waitedSeconds") };
}

/** Page-table entries that a step uses: to the end of the furthest table. */
function pagesUsed({ positions, pageStart }: StepBlock, rows: number): number {
  let end = 0;
  for (let row = 0; row < rows; row++) {
    const pages = Math.floor(at(positions, row) / KV_PAGE_TOKENS) + 1;
    end = Math.max(end, at(pageStart, row) + pages);
  }
  return end;
}
