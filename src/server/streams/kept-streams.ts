/** The streams that clients may come back to: each for a while after its last connection, all within so many bytes. */

import { ClawError } from "../../base/mod.ts";
import { KeptStream, type StreamListener, type StreamOwner, type StreamParts } from "./kept-stream.ts";

export interface KeptSettings {
  readonly streamsResumable: "asked" | "always";
  readonly streamsLingerSeconds: number;
  readonly streamsKeptBytes: number;
}

interface KeptOptions {
  readonly settings: () => KeptSettings;
  /** Calls back after so many milliseconds, unless what it returns is called before. */
  readonly timeout: (milliseconds: number, expire: () => void) => () => void;
}

/** What is counted for /metrics. */
export interface StreamCounts {
  kept: number;
  bytes: number;
  /** Connections to streams that had one before. */
  resumed: number;
  /** Streams that were ended because nobody came back. */
  abandoned: number;
  /** Streams that were let go of early for want of room. */
  evicted: number;
}

export class KeptStreams {
  readonly #options: KeptOptions;
  /** The oldest first. */
  readonly #streams = new Map<string, KeptStream>();
  /** What stops the clock of those that nobody reads. */
  readonly #clocks = new Map<KeptStream, () => void>();
  readonly #counts = { bytes: 0, resumed: 0, abandoned: 0, evicted: 0 };
  readonly #listener: StreamListener = {
    grew: (stream, bytes) => {
      if (this.#streams.get(stream.id) !== stream) return;
      this.#counts.bytes += bytes;
      this.#makeRoom();
    },
    attended: (stream, attended) => this.#attended(stream, attended),
  };

  constructor(options: KeptOptions) {
    this.#options = options;
  }

  get counts(): StreamCounts {
    return { kept: this.#streams.size, ...this.#counts };
  }

  /** Whether a request's stream is kept. `asked`: undefined where the request says nothing. */
  keeps(asked: boolean | undefined): boolean {
    const { streamsResumable, streamsLingerSeconds } = this.#options.settings();
    return streamsLingerSeconds > 0 && (asked ?? streamsResumable === "always");
  }

  /** Begins to draw a stream, and keeps it. */
  keep(parts: StreamParts): KeptStream {
    const stream = new KeptStream(parts, this.#listener);
    this.#streams.set(stream.id, stream);
    this.#attended(stream, false);
    return stream;
  }

  /** Errors: E_STREAM, also for a stream of somebody else. */
  find(id: string, owner: StreamOwner): KeptStream {
    const stream = this.#streams.get(id);
    if (stream !== undefined && isSame(stream.owner, owner)) return stream;
    throw new ClawError("E_STREAM", `There is no stream ${JSON.stringify(id.slice(0, 100))} here.`);
  }

  has(id: string): boolean {
    return this.#streams.has(id);
  }

  /** Counts that somebody came back. */
  resumed(): void {
    this.#counts.resumed++;
  }

  /** Ends a stream at once, and forgets it. */
  end(stream: KeptStream, error: ClawError): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#streams.delete(stream.id);
    this.#clocks.get(stream)?.();
    this.#clocks.delete(stream);
    this.#counts.bytes -= stream.log.bytes;
    stream.cancel(error);
  }

  /** Ends all of them. */
  endAll(error: ClawError): void {
    for (const stream of this.#streams.values()) this.end(stream, error);
  }

  #attended(stream: KeptStream, attended: boolean): void {
    this.#clocks.get(stream)?.();
    this.#clocks.delete(stream);
    if (attended || this.#streams.get(stream.id) !== stream) return;
    const milliseconds = this.#options.settings().streamsLingerSeconds * 1000;
    const expire = (): void => {
      if (!stream.log.ended) this.#counts.abandoned++;
      this.end(stream, new ClawError("E_CANCELLED", "Nobody came back to the stream."));
    };
    this.#clocks.set(stream, this.#options.timeout(milliseconds, expire));
  }

  /** Lets go of streams that nobody reads, ended ones first, then of what was read of the others. */
  #makeRoom(): void {
    const { streamsKeptBytes } = this.#options.settings();
    while (this.#counts.bytes > streamsKeptBytes) {
      const unread = [...this.#streams.values()].filter(({ attended }) => !attended);
      const ended = unread.filter(({ log }) => log.ended);
      const victim = oldestOfLargest(ended.length > 0 ? ended : unread);
      if (victim === undefined) break;
      this.#counts.evicted++;
      this.end(victim, new ClawError("E_CANCELLED", "There was no room for streams that nobody reads."));
    }
    this.#forgetRead(streamsKeptBytes);
  }

  #forgetRead(bytesMax: number): void {
    for (const { log } of this.#streams.values()) {
      if (this.#counts.bytes <= bytesMax) return;
      this.#counts.bytes -= log.forget(this.#counts.bytes - bytesMax);
    }
  }
}

/** The oldest stream of the tenant that takes most: nobody's streams are let go of for somebody who has more. */
function oldestOfLargest(streams: readonly KeptStream[]): KeptStream | undefined {
  const taken = new Map<string, number>();
  for (const { owner, log } of streams) {
    taken.set(owner.tenant, (taken.get(owner.tenant) ?? 0) + log.bytes);
  }
  const most = Math.max(...taken.values());
  return streams.find(({ owner }) => taken.get(owner.tenant) === most);
}

function isSame(one: StreamOwner, other: StreamOwner): boolean {
  const ids = other.revocationIds;
  return (
    one.tenant === other.tenant &&
    one.revocationIds.length === ids.length &&
    one.revocationIds.every((id, index) => id === ids[index])
  );
}
