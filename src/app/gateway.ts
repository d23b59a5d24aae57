/**
 * One of several servers that stand ready for the same clients: it answers while it holds the lease. What it then keeps of
 * streams in the journal, the next holder goes on with.
 */

import { asClawError, ClawError } from "../base/mod.ts";
import type { FoundStream, Journal } from "../journal/mod.ts";
import { KV_PAGE_TOKENS } from "../kernels/mod.ts";
import type {
  GatewayCounts,
  KeptStreams,
  Log,
  Standing,
  StreamJournal,
  Surroundings,
  Tenure,
} from "../server/mod.ts";

/** The lease, as a member of the cluster knows it at the moment. */
export interface LeaseView {
  /** Whether this server may act as its holder. */
  readonly active: boolean;
  /** Of the newest holder; undefined: none is known. */
  readonly epoch: number | undefined;
  /** The newest holder's name. */
  readonly holder: string | undefined;
}

export interface Taking {
  readonly tenure: Tenure;
  /** Forgets what others kept of the stream. */
  readonly retire: () => Promise<void>;
}

export interface GatewayOptions {
  readonly lease: () => LeaseView;
  readonly journal: Journal;
  /** Whether a stream that the journal does not take is refused. */
  readonly required: boolean;
  readonly streams: KeptStreams;
  /** Goes on with a stream. Errors: why it cannot be. */
  readonly takeOver: (found: FoundStream, taking: Taking) => Promise<unknown>;
  /** Told of streams that another server answers, as they grow; undefined: nothing can be done for them before. */
  readonly expect?: ((found: FoundStream) => Promise<unknown>) | undefined;
  readonly clock: Surroundings["clock"];
  readonly timeout: Surroundings["timeout"];
  readonly log: Log;
}

interface Holding {
  readonly epoch: number;
  readonly tenure: Tenure;
  readonly over: AbortController;
  /** Resolves when the streams of others are here; rejects where the lease is lost before. */
  readonly settled: Promise<void>;
}

/** After a look at the journal that failed. */
const AGAIN_MS = 200;

/** How often a standby looks at the streams of the holder, and how many times as long as a look takes it rests at least. */
const FOLLOW_MS = 1000;
const FOLLOW_REST = 9;

/** A stream that nobody needs to look at again. */
const finished: ReadonlySet<string> = new Set(["E_DEADLINE"]);

export class Gateway implements Standing {
  readonly #options: GatewayOptions;
  readonly #dropped: Record<string, number> = {};
  readonly #counted = { epoch: 0, takeovers: 0, inherited: 0, lost: 0 };
  #holding: Holding | undefined;
  /** The epoch whose streams are here. */
  #settledEpoch = 0;
  #closed = false;
  #following = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  get standby(): Standing["standby"] {
    const { active, holder } = this.#options.lease();
    return active ? undefined : { holder };
  }

  get counts(): GatewayCounts {
    return { ...this.#counted, holds: this.#holding !== undefined, dropped: this.#dropped };
  }

  async tenure(): Promise<Tenure> {
    this.look();
    const holding = this.#holding;
    if (holding === undefined) throw this.#elsewhere();
    await holding.settled;
    holding.tenure.check();
    return holding.tenure;
  }

  /** Looks at the lease: to be called whenever it may be another's, or this server's. */
  look(): void {
    const { active: held, epoch } = this.#options.lease();
    const active = held && !this.#closed;
    const holding = this.#holding;
    if (holding !== undefined && (!active || epoch !== holding.epoch)) this.#lose(holding);
    // What this server drew is another's now; while nobody else held the lease, it may still come back to it.
    if (epoch !== undefined && epoch > this.#settledEpoch && this.#holding === undefined) this.#letGo();
    if (active && epoch !== undefined && this.#holding === undefined) this.#begin(epoch);
    if (this.#stands && this.#options.expect !== undefined && !this.#following) void this.#follow();
  }

  /** Whether another server answers, and this one may be next. */
  get #stands(): boolean {
    return !this.#closed && this.#holding === undefined && this.#options.lease().holder !== undefined;
  }

  /** Answers nothing more; another server may go on. */
  handOver(): void {
    this.#closed = true;
    this.look();
    this.#letGo();
  }

  /** Looks now and then at what the other server does, so that little is left to be done when it is gone. */
  async #follow(): Promise<void> {
    const { journal, expect, clock, timeout } = this.#options;
    this.#following = true;
    /** Of each stream, the pages of tokens that were told of. */
    let told = new Map<string, number>();
    while (this.#stands) {
      const began = clock();
      try {
        const { streams } = await journal.read();
        const grown = streams.map((found) => [found, pagesOf(found)] as const);
        for (const [found, pages] of grown) {
          // Those that cannot be gone on with are told of when somebody has to.
          if (pages > (told.get(found.id) ?? -1) && this.#stands) await expect?.(found).catch(() => {});
        }
        told = new Map(grown.map(([{ id }, pages]) => [id, pages]));
      } catch {
        // The journal is away: whoever takes the lease says so.
      }
      const pause = Math.max(FOLLOW_MS, FOLLOW_REST * (clock() - began));
      await new Promise<void>((resolve) => void timeout(pause, resolve));
    }
    this.#following = false;
  }

  #begin(epoch: number): void {
    const over = new AbortController();
    const tenure: Tenure = {
      signal: over.signal,
      journal: this.#journalOf(epoch),
      check: () => {
        const { active, epoch: newest } = this.#options.lease();
        if (!active || newest !== epoch || over.signal.aborted) throw this.#elsewhere();
      },
    };
    const settled = this.#settledEpoch === epoch ? Promise.resolve() : this.#settle(epoch, tenure);
    settled.catch(() => {}); // whoever waits for it hears of it
    this.#holding = { epoch, tenure, over, settled };
    this.#counted.epoch = epoch;
  }

  #lose(holding: Holding): void {
    this.#holding = undefined;
    holding.over.abort(this.#elsewhere());
    const { epoch, holder } = this.#options.lease();
    const what = this.#closed ? "The lease is given up." : "The lease is lost.";
    this.#options.log.warn({ epoch: holding.epoch, newest: epoch, holder }, what);
  }

  #letGo(): void {
    const { streams } = this.#options;
    // A standby comes here at every look.
    if (streams.counts.kept > 0) streams.endAll(this.#elsewhere());
  }

  async #settle(epoch: number, tenure: Tenure): Promise<void> {
    const { journal, log } = this.#options;
    this.#counted.takeovers++;
    const { streams, dropped } = await this.#untilRead(tenure);
    for (const [reason, count] of Object.entries(dropped)) {
      this.#dropped[reason] = (this.#dropped[reason] ?? 0) + count;
    }
    const taken = streams.map((found) => {
      const others = found.epochs.filter((each) => each !== epoch);
      const retire = async (): Promise<void> => {
        await Promise.all(others.map((each) => journal.close(each, found.id)));
      };
      return this.#take(found, { tenure, retire });
    });
    const inherited = (await Promise.all(taken)).filter((each) => each).length;
    tenure.check();
    this.#settledEpoch = epoch;
    const lost = streams.length - inherited;
    log.warn({ epoch, streams: inherited, lost, dropped }, "This server holds the lease.");
  }

  /** The journal, however often it has to be asked. Errors: E_STANDBY. */
  async #untilRead(tenure: Tenure): ReturnType<Journal["read"]> {
    const { journal, timeout, log } = this.#options;
    for (;;) {
      tenure.check();
      try {
        return await journal.read();
      } catch (error) {
        log.error({ reason: asClawError(error).message }, "The journal cannot be read yet.");
        await new Promise<void>((resolve) => void timeout(AGAIN_MS, resolve));
      }
    }
  }

  async #take(found: FoundStream, taking: Taking): Promise<boolean> {
    const { takeOver, log, streams } = this.#options;
    // Where an earlier attempt at this was broken off.
    if (streams.has(found.id)) return true;
    try {
      await takeOver(found, taking);
      this.#counted.inherited++;
      return true;
    } catch (thrown) {
      const { code, message } = asClawError(thrown);
      this.#counted.lost++;
      log.error({ stream: found.id, code, reason: message }, "A stream cannot be taken over.");
      if (finished.has(code)) taking.retire().catch(() => {});
      return false;
    }
  }

  #journalOf(epoch: number): StreamJournal {
    const { journal, required, lease } = this.#options;
    return {
      required,
      open: (id, opening) => journal.open(epoch, id, opening),
      tokens: (id, batches) => journal.tokens(epoch, id, batches),
      close: async (id) => {
        const { active, epoch: newest } = lease();
        // It is another's now for good, who may have read it here, and may die, too.
        if (newest !== undefined && newest > epoch) return;
        if (!active || newest !== epoch) throw this.#elsewhere();
        await journal.close(epoch, id);
      },
    };
  }

  #elsewhere(): ClawError {
    const { active, holder } = this.#options.lease();
    const who = active || holder === undefined ? "No server" : `The server ${holder}`;
    return new ClawError("E_STANDBY", `This server stands by. ${who} holds the cluster's lease.`);
  }
}

/** Full KV pages of what was drawn, about: of those there are copies. */
function pagesOf({ drawn }: FoundStream): number {
  return [...drawn.values()].reduce((sum, tokens) => sum + Math.floor(tokens.length / KV_PAGE_TOKENS), 0);
}
