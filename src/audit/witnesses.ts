/**
 * Asks witnesses to cosign the checkpoints of a running log. Each is asked for itself and beside everything else: one that
 * does not answer holds up neither entries nor checkpoints nor the others.
 */

import { asClawError, type ClawError } from "../base/mod.ts";
import { parseCheckpoint, parseSignatureLine } from "../crypto/mod.ts";
import { cosign, type TileReader, type WitnessPeer } from "../ledger/mod.ts";
import { WITNESS_PAUSE_MS, WITNESS_PAUSE_MS_MAX } from "./limits.ts";

export interface WitnessesOptions {
  readonly peers: readonly WitnessPeer[];
  /** Reads the log's tiles, for consistency proofs. */
  readonly read: TileReader;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
  /** Told the last checkpoint with one cosignature more. */
  readonly onCosigned: (note: string) => void;
  /** Told when a witness begins to fail, with another reason, or, without one, cosigns again. */
  readonly onChange: (name: string, error?: ClawError) => void;
}

/** What the metrics say of a witness. */
export interface WitnessCounts {
  /** Whether it cosigned when it was asked last. */
  readonly up: boolean;
  /** Entries below the last checkpoint that it cosigned. */
  readonly cosigned: number;
  readonly failures: number;
}

/** A checkpoint and those who have cosigned it. */
interface Witnessed {
  readonly size: number;
  note: string;
  readonly by: Set<string>;
}

interface Asked {
  readonly peer: WitnessPeer;
  busy: boolean;
  size: number;
  /** Of the last failure; undefined: there was none since it cosigned. */
  reason: string | undefined;
  failures: number;
  /** In a row. */
  failing: number;
  /** When it may be asked again. */
  next: number;
}

export class Witnesses {
  readonly #options: WitnessesOptions;
  readonly #asked: readonly Asked[];
  /** By size; each has more cosignatures than all after it. */
  #witnessed: Witnessed[] = [];
  #last: Witnessed | undefined;

  constructor(options: WitnessesOptions) {
    this.#options = options;
    this.#asked = options.peers.map((peer) => ({
      peer,
      busy: false,
      size: -1,
      reason: undefined,
      failures: 0,
      failing: 0,
      next: Number.NEGATIVE_INFINITY,
    }));
  }

  get counts(): Readonly<Record<string, WitnessCounts>> {
    const entries = this.#asked.map(({ peer, reason, size, failures }) => {
      const counts = { up: size >= 0 && reason === undefined, cosigned: Math.max(0, size), failures };
      return [peer.verifier.name, counts] as const;
    });
    return Object.fromEntries(entries);
  }

  /** Asks every witness that has not cosigned the log's last checkpoint and is neither busy nor to be left alone for a while. */
  ask(note: string): void {
    if (this.#asked.length === 0) return;
    const checkpoint = parseCheckpoint(textOf(note));
    if (this.#last === undefined || textOf(this.#last.note) !== textOf(note)) {
      this.#last = { size: checkpoint.size, note, by: new Set() };
    }
    for (const asked of this.#asked) {
      const due = asked.size !== checkpoint.size && this.#options.clock() >= asked.next;
      if (!asked.busy && due) void this.#askOne(asked, this.#last, note);
    }
  }

  /** Of the checkpoints over entry `index` the last of those that most witnesses cosigned; undefined where none did. */
  over(index: number): string | undefined {
    return this.#witnessed.find(({ size }) => size > index)?.note;
  }

  /** Never rejects. */
  async #askOne(asked: Asked, witnessed: Witnessed, note: string): Promise<void> {
    const { peer } = asked;
    asked.busy = true;
    try {
      const oldSize = Math.min(Math.max(0, asked.size), witnessed.size);
      const cosigned = await cosign(note, peer, { oldSize, read: this.#options.read });
      this.#add(witnessed, peer.verifier.name, cosigned.slice(note.length));
      asked.size = witnessed.size;
      asked.failing = 0;
      if (asked.reason !== undefined) this.#options.onChange(peer.verifier.name);
      asked.reason = undefined;
    } catch (thrown) {
      this.#failed(asked, asClawError(thrown));
    } finally {
      asked.busy = false;
    }
  }

  #failed(asked: Asked, error: ClawError): void {
    const pause = Math.min(WITNESS_PAUSE_MS_MAX, WITNESS_PAUSE_MS * 2 ** asked.failing);
    asked.failures++;
    asked.failing++;
    asked.next = this.#options.clock() + pause;
    // Once for each reason, not every time.
    if (error.message !== asked.reason) this.#options.onChange(asked.peer.verifier.name, error);
    asked.reason = error.message;
  }

  #add(witnessed: Witnessed, name: string, lines: string): void {
    witnessed.note = without(witnessed.note, name) + lines;
    witnessed.by.add(name);
    const others = this.#witnessed.filter((other) => other !== witnessed);
    const sorted = [...others, witnessed].sort((a, b) => a.size - b.size);
    this.#witnessed = sorted.filter(({ by }, i) =>
      sorted.slice(i + 1).every((later) => later.by.size < by.size),
    );
    if (witnessed === this.#last) this.#options.onCosigned(witnessed.note);
  }
}

/** The checkpoint itself, without its signatures. */
function textOf(note: string): string {
  return note.slice(0, note.indexOf("\n\n") + 1);
}

/** The note without the signatures of this name: those of a cosignature that is made again. */
function without(note: string, name: string): string {
  const text = `${textOf(note)}\n`;
  const lines = note.slice(text.length).split("\n").slice(0, -1);
  const kept = lines.filter((line) => parseSignatureLine(line).name !== name);
  return text + kept.map((line) => `${line}\n`).join("");
}
