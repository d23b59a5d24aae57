/** Processes that hand out parts of models, in tests: honest ones, and liars. */

import type { PeerLink } from "../../src/cluster/link/mod.ts";
import { openSlices, type SliceHost, type SlicePeer } from "../../src/cluster/mod.ts";
import { answeringPeer } from "./answering-peer.ts";

/** More than any answer. */
export const ROOM: number = 20 * 1024 * 1024;

/** What a peer answers instead; undefined: it ends the link. `count`: of answers with bytes, from 1. */
export type Lie = (
  request: { readonly ask: string },
  answer: Uint8Array,
  count: number,
) => Uint8Array | undefined | Promise<Uint8Array | undefined>;

export class SliceHosts {
  readonly #secret: Uint8Array;
  readonly #closing: (() => unknown)[] = [];

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  honest(name: string, host: SliceHost): SlicePeer {
    this.#closing.push(() => host.close());
    return this.#listen(name, (peer, root) => host.serve(peer, root));
  }

  /** Passes on what an honest peer says, but for its lies. */
  liar(name: string, behind: SlicePeer, lie: Lie): SlicePeer {
    const secret = this.#secret;
    let answers = 0;
    return this.#listen(name, async ({ link }, root) => {
      const other = await openSlices(behind.address, { name, secret }, root);
      this.#closing.push(() => other.end());
      for (;;) {
        const asked = new Uint8Array(65_536);
        const question = asked.subarray(0, await link.queueReceive(asked));
        const room = new Uint8Array(ROOM);
        const [, bytes] = await Promise.all([other.queueSend(question), other.queueReceive(room)]);
        const request = JSON.parse(Buffer.from(question).toString()) as { readonly ask: string };
        const said = await lie(request, room.slice(0, bytes), request.ask === "bytes" ? ++answers : 0);
        if (said === undefined) return;
        await link.queueSend(said);
      }
    });
  }

  #listen(name: string, serve: (peer: PeerLink, root: string) => Promise<void>): SlicePeer {
    const peer = answeringPeer({ name, secret: this.#secret, kind: "slices" }, (each, { root }) =>
      serve(each, root),
    );
    this.#closing.push(() => peer.close());
    return peer;
  }
}
