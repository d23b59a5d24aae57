/** Servers that hand out pages of a folder, in tests: honest ones, and liars. */

import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PeerLink } from "../../src/cluster/link/mod.ts";
import { openPages } from "../../src/cluster/nodes/request.ts";
import { PageFollower, type PageHost, type PagePeer } from "../../src/cluster/pages/mod.ts";
import { FolderPageStore } from "../../src/engine/folder-page-store.ts";
import { answeringPeer } from "./answering-peer.ts";

export interface Asked {
  readonly ask: "folder" | "changes" | "bytes";
  readonly from?: number;
}

/** What a peer answers instead; undefined: it ends the link. `count`: of this kind of question, from 1. */
export type PageLie = (asked: Asked, answer: Uint8Array, count: number) => Uint8Array | undefined;

/** A server's folder, and what its engine puts there. */
export class Place {
  readonly folder: string;
  readonly store: FolderPageStore;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.folder = folder;
    this.store = new FolderPageStore({ folder, identity: "model", bytesMax: 1e9 });
  }

  async put(key: string, page: Uint8Array): Promise<void> {
    this.store.put(key, page);
    await this.store.settled();
  }

  async drop(key: string): Promise<void> {
    this.store.drop(key);
    await this.store.settled();
  }

  /** Names of all that lies there. */
  all(): string[] {
    return readdirSync(this.folder).sort();
  }

  /** Of its pages. */
  names(): string[] {
    return this.all().filter((name) => name.endsWith(".page"));
  }

  file(name: string): Buffer {
    return readFileSync(join(this.folder, name));
  }
}

export class PageHosts {
  readonly #secret: Uint8Array;
  readonly #closing: (() => unknown)[] = [];
  /** Links on which pages were asked for. */
  links = 0;
  readonly notes: string[] = [];

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
    this.links = 0;
    this.notes.length = 0;
  }

  honest(name: string, host: PageHost): PagePeer {
    this.#closing.push(() => host.close());
    return this.#listen(name, (peer) => host.serve(peer));
  }

  /** Passes on what an honest peer says, but for its lies. */
  liar(name: string, behind: PagePeer, lie: PageLie): PagePeer {
    const counts = new Map<string, number>();
    return this.#listen(name, async ({ link }) => {
      const other = await openPages(behind.address, { name, secret: this.#secret });
      try {
        for (;;) {
          const room = new Uint8Array(2 ** 21);
          const question = room.slice(0, await link.queueReceive(room));
          const [, bytes] = await Promise.all([other.queueSend(question), other.queueReceive(room)]);
          const asked = JSON.parse(Buffer.from(question).toString()) as Asked;
          const count = (counts.get(asked.ask) ?? 0) + 1;
          counts.set(asked.ask, count);
          const said = lie(asked, room.slice(0, bytes), count);
          if (said === undefined) return;
          await link.queueSend(said);
        }
      } finally {
        other.end();
      }
    });
  }

  follower(folder: string, bytesMax = 1e9): PageFollower {
    const follower = new PageFollower({
      ...{ folder, bytesMax },
      open: ({ address }) => openPages(address, { name: "standby", secret: this.#secret }),
      onNote: (text) => this.notes.push(text),
    });
    this.#closing.push(() => follower.close());
    return follower;
  }

  #listen(name: string, serve: (peer: PeerLink) => Promise<void>): PagePeer {
    const peer = answeringPeer({ name, secret: this.#secret, kind: "pages" }, async (each) => {
      this.links++;
      await serve(each);
    });
    this.#closing.push(() => peer.close());
    return peer;
  }
}
