/** What records come to: streams with their openings and as many tokens as are there without a gap. */

import { OPENING_BYTES_MAX } from "./limits.ts";
import type { JournalToken, OpeningPart, TokenBatch } from "./records.ts";

/** A stream that somebody may go on with. */
export interface FoundStream {
  readonly id: string;
  readonly opening: string;
  /** Whose records there are of it. */
  readonly epochs: readonly number[];
  /** The first tokens of each answer, by its number; answers without any may be missing. */
  readonly drawn: ReadonlyMap<number, readonly JournalToken[]>;
}

interface Finding {
  /** Parts by epoch. */
  readonly openings: Map<number, OpeningPart[]>;
  readonly epochs: Set<number>;
  readonly batches: TokenBatch[];
  bytes: number;
}

export class StreamsFound {
  readonly #most: number;
  readonly #streams = new Map<string, Finding>();
  readonly #dropped: Record<string, number> = {};

  /** `most`: streams that are taken. */
  constructor(most: number) {
    this.#most = most;
  }

  open(stream: string, epoch: number, part: OpeningPart): void {
    const finding = this.#finding(stream, epoch);
    if (finding === undefined) return;
    finding.bytes += part.text.length;
    if (finding.bytes > 2 * OPENING_BYTES_MAX) {
      this.drop("is one too many of its stream");
      return;
    }
    const parts = finding.openings.get(epoch) ?? [];
    // What is not known to be durable may have been written twice.
    parts[part.part] = part;
    finding.openings.set(epoch, parts);
  }

  draw(stream: string, epoch: number, batches: readonly TokenBatch[]): void {
    this.#finding(stream, epoch)?.batches.push(...batches);
  }

  /** A record is not taken. */
  drop(reason: string): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
  }

  end(): { readonly streams: readonly FoundStream[]; readonly dropped: Readonly<Record<string, number>> } {
    const streams = [...this.#streams.values()].flatMap((finding) => {
      const opening = [...finding.openings].toSorted(([one], [other]) => other - one);
      const whole = opening.map(([, parts]) => joined(parts)).find((each) => each !== undefined);
      if (whole === undefined) {
        this.drop("is of a stream without an opening");
        return [];
      }
      return [{ ...whole, epochs: [...finding.epochs], drawn: this.#drawn(finding.batches) }];
    });
    return { streams, dropped: this.#dropped };
  }

  #finding(stream: string, epoch: number): Finding | undefined {
    const known = this.#streams.get(stream);
    if (known === undefined && this.#streams.size >= this.#most) {
      this.drop("is of one stream too many");
      return undefined;
    }
    const finding = known ?? { openings: new Map(), epochs: new Set(), batches: [], bytes: 0 };
    finding.epochs.add(epoch);
    this.#streams.set(stream, finding);
    return finding;
  }

  /** Batches overlap where several epochs drew the same tokens. */
  #drawn(batches: readonly TokenBatch[]): Map<number, readonly JournalToken[]> {
    const drawn = new Map<number, JournalToken[]>();
    for (const { choice, from, tokens } of batches.toSorted((one, other) => one.from - other.from)) {
      const own = drawn.get(choice) ?? [];
      drawn.set(choice, own);
      // After a gap nothing is of use: it is computed again.
      if (from > own.length) continue;
      const known = own.length - from;
      if (tokens.slice(0, known).some(({ token }, index) => token !== own[from + index]?.token)) {
        this.drop("contradicts another");
      } else if (own.at(-1)?.finish === undefined) {
        own.push(...tokens.slice(known));
      }
    }
    return drawn;
  }
}

/** Undefined: parts are missing. */
function joined(parts: readonly (OpeningPart | undefined)[]): { id: string; opening: string } | undefined {
  const [first] = parts;
  if (first === undefined || parts.length !== first.parts) return undefined;
  const texts = Array.from(parts, (part) => part?.text);
  if (texts.includes(undefined)) return undefined;
  const bytes = texts.map((text) => Buffer.from(text ?? "", "base64"));
  return { id: first.id, opening: Buffer.concat(bytes).toString("utf8") };
}
