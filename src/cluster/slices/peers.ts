/** Who may be asked for parts of a model: another one when the one that is asked breaks off or lies. */

import { asClawError, at, ClawError, type ErrorCode } from "../../base/mod.ts";
import { ATTEMPTS_MAX } from "./limits.ts";
import { type OpenSource, type SlicePeer, SliceSource } from "./source.ts";

/** Something on this side, which no other peer would make good. */
export class SliceError extends ClawError {
  constructor(message: string, cause?: unknown) {
    super("E_SLICE", message, { cause });
  }
}

/** Of a peer whose answers are wrong: it is not asked again. */
const WRONG: ReadonlySet<ErrorCode> = new Set(["E_ALTERED", "E_LINK_PEER"]);

export interface PeersOptions {
  readonly root: string;
  /** In the order in which they are asked. */
  readonly peers: readonly SlicePeer[];
  readonly open: OpenSource;
  /** Told of a peer that failed, in a sentence. */
  readonly onNote: (text: string) => void;
}

export class SlicePeers {
  readonly #options: PeersOptions;
  readonly #left: { readonly peer: SlicePeer; readonly attempt: number }[];
  readonly #problems: string[] = [];
  #source: SliceSource | undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#left = options.peers.map((peer) => ({ peer, attempt: 1 }));
  }

  /**
   * Does something with a peer; where that fails, does it again with the next one. `work` throws E_ALTERED where an answer is not what it has to
   * be. SliceError where no peer is left.
   */
  async use<T>(work: (source: SliceSource) => Promise<T>): Promise<T> {
    for (;;) {
      const [first] = this.#left;
      if (first === undefined) throw this.#nobody();
      try {
        return await work(await this.#opened(first.peer));
      } catch (error) {
        if (error instanceof SliceError) throw error;
        this.#failed(asClawError(error));
      }
    }
  }

  close(): void {
    this.#source?.close();
    this.#source = undefined;
  }

  async #opened(peer: SlicePeer): Promise<SliceSource> {
    const { open, root } = this.#options;
    this.#source ??= new SliceSource(await open(peer, root));
    return this.#source;
  }

  #failed({ code, message }: ClawError): void {
    this.close();
    const { peer, attempt } = at(this.#left.splice(0, 1), 0);
    const problem = `The node ${peer.name} gave no good part of the model: ${message}`;
    this.#problems.push(problem);
    this.#options.onNote(problem);
    if (!WRONG.has(code) && attempt < ATTEMPTS_MAX) this.#left.push({ peer, attempt: attempt + 1 });
  }

  #nobody(): SliceError {
    const { root } = this.#options;
    const why =
      this.#problems.length === 0 ? "Nobody has it." : this.#problems.slice(-ATTEMPTS_MAX).join(" ");
    return new SliceError(`The model ${root} cannot be fetched. ${why}`);
  }
}
