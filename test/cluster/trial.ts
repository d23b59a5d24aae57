/**
 * An engine whose runtimes are lost and replaced at random: placements of a model over ranks in this process, each opened in
 * another shape. Links break between steps, in the middle of one, and right after another runtime was opened.
 */

import { setImmediate as turn } from "node:timers/promises";
import { ClawError } from "../../src/base/mod.ts";
import { type PlacedRuntime, startLocal } from "../../src/cluster/mod.ts";
import { EngineLoop } from "../../src/engine/loop.ts";
import {
  Engine,
  type GenerationRequest,
  type OpenRuntime,
  type RuntimeSource,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import type { PageStore } from "../../src/engine/page-store.ts";
import { Recovery } from "../../src/engine/recovery.ts";
import type { Device, RankLink } from "../../src/kernels/mod.ts";
import type { OpenedFile } from "../../src/model/mod.ts";
import type { Random } from "../kernels/random.ts";
import { randomPlacement } from "./placements.ts";

export const SIZES = { format: "i8", context: 160, batch: 4, rows: 24 } as const;

/** More would be taken for a request that breaks what computes it. */
const LOSSES_IN_A_ROW_MAX = 2;

/** What happened, over all trials. */
export const seen = {
  requests: 0,
  cancelled: 0,
  losses: 0,
  /** Losses that a step was the first to notice, and those of links between ranks. */
  inStep: 0,
  betweenRanks: 0,
  /** Losses while a prompt was being read. */
  prefilling: 0,
  inARow: 0,
  openFailures: 0,
  changes: 0,
  /** Pages copied out, and tokens that were not computed again thanks to them. */
  copied: 0,
  restored: 0,
};

interface Asked {
  readonly request: GenerationRequest;
  readonly events: TokenEvent[];
  id: number;
  cancelled: boolean;
  finished: boolean;
}

export function lostError(): ClawError {
  return new ClawError("E_LINK", "A rank was lost on purpose.");
}

export class Trial implements RuntimeSource {
  readonly asked: Asked[] = [];
  readonly #model: OpenedFile;
  readonly #random: Random;
  readonly #openDevice: () => Device;
  readonly #store: PageStore | undefined;
  #engine: Engine | undefined;
  #recovery: Recovery | undefined;
  #loop: EngineLoop | undefined;
  /** Between the ranks of each runtime. */
  readonly #links = new WeakMap<OpenRuntime, readonly RankLink[]>();
  #lossesInARow = 0;
  /** Told when a runtime has taken another's place. */
  #onMoved: () => void = () => {};

  /** `store`: where copies of pages are kept; undefined: there are none. */
  constructor(
    model: OpenedFile,
    openDevice: () => Device,
    how: { random: Random; store?: PageStore | undefined },
  ) {
    this.#model = model;
    this.#openDevice = openDevice;
    this.#random = how.random;
    this.#store = how.store;
  }

  async start(): Promise<void> {
    const runtime = await this.#opened();
    const { vocabulary } = this.#model.description;
    const counts = {
      copied: () => void seen.copied++,
      restored: (tokens: number) => {
        seen.restored += tokens;
      },
    };
    const mirror = this.#store && { store: this.#store, counts };
    const engine = new Engine({ ...runtime, vocabulary, batch: SIZES.batch, mirror, clock: () => 0 });
    const pause = async (): Promise<void> => {
      this.#lossesInARow = 0;
      await turn();
      this.#interfere();
    };
    const failed = (error: ClawError): Promise<boolean> => {
      seen.inStep++;
      return (this.#recovery as Recovery).failed(error);
    };
    const loop = new EngineLoop(engine, { pause, failed });
    const listener = {
      lost: () => this.#lost(),
      retried: () => {},
      moved: () => this.#onMoved(),
      gaveUp: (error: ClawError) => {
        throw error;
      },
    };
    const options = { engine, loop, source: this, listener, delay: async () => {}, every: () => () => {} };
    this.#recovery = new Recovery(options, { runtime, parallelism: { tensor: 1, pipeline: 1 } });
    this.#engine = engine;
    this.#loop = loop;
  }

  /** Asks; what comes is in `asked`. Resolves when every request has ended. */
  async ask(requests: readonly GenerationRequest[]): Promise<void> {
    const ended = requests.map((request) => {
      seen.requests++;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const asked: Asked = { request, events: [], id: -1, cancelled: false, finished: false };
      asked.id = (this.#engine as Engine).submit(request, {
        token: (event) => {
          if (asked.cancelled || asked.finished) reject(new Error("A request that has ended heard more."));
          asked.events.push(event);
          asked.finished = event.finish !== undefined;
          if (asked.finished) resolve();
        },
        failed: reject,
      });
      this.asked.push(asked);
      return { promise, resolve, asked };
    });
    this.#loop?.wake();
    this.#onCancel = (asked) => ended.find((each) => each.asked === asked)?.resolve();
    await Promise.all(ended.map(({ promise }) => promise));
  }

  #onCancel: (asked: Asked) => void = () => {};

  /** Loses the runtime while nothing runs; resolves when another is there. */
  loseIdle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onMoved = resolve;
      this.#lose();
    });
  }

  get load(): Engine["load"] & { readonly pages: number } {
    return { ...(this.#engine as Engine).load, pages: this.#recovery?.runtime.pages ?? 0 };
  }

  async end(): Promise<void> {
    this.#recovery?.stop();
    await this.#loop?.close();
    await this.#recovery?.close();
  }

  /** As a source: each time in another shape, and now and then not at all. */
  async open(): Promise<OpenRuntime> {
    if (this.#random.chance(5)) {
      seen.openFailures++;
      throw lostError();
    }
    const runtime = await this.#opened();
    // Lost before it did anything.
    if (this.#random.chance(3)) this.#loseSoon(runtime);
    return runtime;
  }

  async close(): Promise<void> {}

  async #opened(): Promise<OpenRuntime> {
    const placement = randomPlacement(this.#model.description, this.#random);
    const links: RankLink[] = [];
    const wrapLink = (link: RankLink): RankLink => {
      links.push(link);
      return link;
    };
    const microBatchRows = this.#random.pick([2, 100]);
    const laneSequences = this.#random.pick([1, 100]);
    const openDevice = this.#openDevice;
    const options = { ...SIZES, placement, microBatchRows, laneSequences, openDevice, wrapLink };
    const runtime = await startLocal(this.#model, options);
    this.#links.set(runtime, links);
    return runtime;
  }

  #lose(runtime = this.#recovery?.runtime): void {
    (runtime as PlacedRuntime | undefined)?.executable.lose(lostError());
  }

  /** Soon, most likely in the middle of a step. */
  #breakLink(): void {
    const runtime = this.#recovery?.runtime;
    const links = runtime === undefined ? [] : (this.#links.get(runtime) ?? []);
    if (links.length === 0) return;
    const link = this.#random.pick(links);
    setTimeout(
      () => {
        if (runtime?.lost.aborted !== false) return;
        seen.betweenRanks++;
        link.close();
      },
      this.#random.between(0, 2),
    );
  }

  #lost(): void {
    seen.losses++;
    if (++this.#lossesInARow > 1) seen.inARow++;
    const reading = this.asked.some(({ events, cancelled }) => events.length === 0 && !cancelled);
    if (reading) seen.prefilling++;
  }

  #interfere(): void {
    const random = this.#random;
    if (random.chance(11)) this.#loseSoon();
    if (random.chance(12)) this.#breakLink();
    if (random.chance(16)) this.#change();
    if (random.chance(40)) this.#cancelOne();
  }

  /** After so many turns of promises: between two steps, or anywhere in one. */
  #loseSoon(runtime?: OpenRuntime): void {
    if (this.#lossesInARow >= LOSSES_IN_A_ROW_MAX) return;
    let turns = this.#random.between(0, 60);
    const next = (): void => (turns-- > 0 ? queueMicrotask(next) : this.#lose(runtime));
    next();
  }

  #change(): void {
    const changed = this.#recovery?.change({ tensor: 1, pipeline: 1 });
    changed?.then(
      () => seen.changes++,
      () => {},
    );
  }

  #cancelOne(): void {
    const open = this.asked.filter(({ finished, cancelled }) => !finished && !cancelled);
    if (open.length < 2) return;
    const asked = this.#random.pick(open);
    asked.cancelled = true;
    seen.cancelled++;
    this.#engine?.cancel(asked.id);
    this.#onCancel(asked);
  }
}
