/** What a node has to do with parts of models: it hands out those that it has, and has ranks fetch those that it lacks. */

import type { ModelSeal } from "../../model/mod.ts";
import type { PeerLink } from "../link/mod.ts";
import { type HeldModel, NO_SLICES, type PeerStatus, type SliceCounts } from "../membership/mod.ts";
import { type FetchProgress, type FetchTerms, SliceHost, type SlicePeer } from "../slices/mod.ts";
import { SLICE_PEERS_MAX } from "./limits.ts";
import type { RankPlace } from "./rank-processes.ts";

/** A model file on this node. */
export interface ModelOnNode extends HeldModel {
  readonly path: string;
  /** Undefined: no parts of it are handed out to nodes that lack it. */
  readonly seal?: ModelSeal | undefined;
}

/** Where a node keeps slices of models that it lacks, and how many bytes of them; undefined: a share of the free disk. */
export interface FetchSettings {
  readonly folder: string;
  readonly bytesMax: number | undefined;
}

interface NodeSlicesOptions {
  /** The node's name. */
  readonly self: string;
  readonly models: readonly ModelOnNode[];
  readonly fetch: FetchSettings | undefined;
  /** Told when they have changed. */
  readonly onCounts: (counts: SliceCounts) => void;
}

export class NodeSlices {
  readonly #options: NodeSlicesOptions;
  readonly #host: SliceHost;
  /** By rank and epoch, of those that run. */
  readonly #progress = new Map<string, FetchProgress>();
  /** By ranks that ended. */
  #fetchedBefore = 0;

  constructor(options: NodeSlicesOptions) {
    this.#options = options;
    this.#host = new SliceHost(
      options.models.flatMap(({ path, seal }) => (seal === undefined ? [] : [{ path, seal }])),
    );
  }

  /** How a rank comes to a model that this node lacks; undefined: this node fetches none. */
  terms(root: string, trusted: SlicePeer, peers: readonly PeerStatus[]): FetchTerms | undefined {
    const { fetch, self } = this.#options;
    if (fetch === undefined) return undefined;
    const have = peers.filter(({ node, alive, record }) => {
      return (
        alive && node !== self && node !== trusted.name && record.models.some((model) => model.root === root)
      );
    });
    // Servers last: they have tokens to serve.
    const others = have.toSorted(
      (a, b) => Number(a.record.role === "server") - Number(b.record.role === "server"),
    );
    const known = others.flatMap(({ node: name, record: { address } }): SlicePeer[] => {
      return address === null ? [] : [{ name, address }];
    });
    return { root, ...fetch, trusted, peers: [...known.slice(0, SLICE_PEERS_MAX), trusted] };
  }

  /** E_NODE where parts of it are not handed out. */
  check(root: string): void {
    this.#host.check(root);
  }

  async serve(peer: PeerLink, root: string): Promise<void> {
    await this.#host.serve(peer, root).finally(() => this.#tell());
  }

  fetching(place: RankPlace, progress: FetchProgress): void {
    this.#progress.set(keyOf(place), progress);
    this.#tell();
  }

  /** Those that run now. */
  running(places: readonly RankPlace[]): void {
    const run = new Set(places.map(keyOf));
    for (const [key, { fetched }] of this.#progress) {
      if (run.has(key)) continue;
      this.#fetchedBefore += fetched;
      this.#progress.delete(key);
    }
    this.#tell();
  }

  close(): Promise<void> {
    return this.#host.close();
  }

  #tell(): void {
    const all = [...this.#progress.values()];
    const fetching = all.find(({ done, total }) => done < total);
    this.#options.onCounts({
      ...NO_SLICES,
      fetched: all.reduce((sum, { fetched }) => sum + fetched, this.#fetchedBefore),
      handedOut: this.#host.handedOut,
      fetching: fetching === undefined ? null : { done: fetching.done, total: fetching.total },
    });
  }
}

function keyOf({ epoch, rank }: RankPlace): string {
  return `${epoch} ${rank}`;
}
