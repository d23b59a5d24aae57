/** A peer that hands out pages of its folder, as the one who follows it sees it. */

import { ClawError } from "../../base/mod.ts";
import { fromUtf8 } from "../../crypto/mod.ts";
import type { Link, LinkAddress } from "../../kernels/mod.ts";
import { Questions, REFUSAL_BYTES_MAX } from "../link/mod.ts";
import { FOLDER_ID } from "./folder-id.ts";
import { ANSWER_MS, CHANGES_BYTES_MAX, PART_BYTES_MAX } from "./limits.ts";
import { type Changes, type PagesRequest, pagesRequestBytes, readChanges } from "./message.ts";

/** A server that holds the lease. */
export interface PagePeer {
  readonly name: string;
  readonly address: Pick<LinkAddress, "host" | "port">;
}

/** Opens a link to a peer that answers `PagesRequest`s then. */
export type OpenPages = (peer: PagePeer) => Promise<Link>;

/** Errors of all: what the peer says, E_LINK_PEER where its answer is none, and those of links. */
export class PageSource {
  readonly #questions: Questions;

  constructor(link: Link) {
    this.#questions = new Questions(link, ANSWER_MS);
  }

  /** Of its folder. */
  async folderId(): Promise<string> {
    const id = await this.#ask({ ask: "folder" }, REFUSAL_BYTES_MAX);
    const text = id.length === 32 ? fromUtf8(id) : "";
    if (FOLDER_ID.test(text)) return text;
    throw new ClawError("E_LINK_PEER", "It answered with what is no folder's id.");
  }

  async changes(after: number): Promise<Changes> {
    const changes = readChanges(await this.#ask({ ask: "changes", after }, CHANGES_BYTES_MAX));
    const grows = changes.more ? changes.number > after : changes.number >= after;
    if (grows) return changes;
    throw new ClawError("E_LINK_PEER", `It answered with changes to ${changes.number}, after ${after}.`);
  }

  /** A whole file of so many bytes. E_NODE where it is not there any more. */
  async file(name: string, bytes: number): Promise<Uint8Array> {
    const whole = new Uint8Array(bytes);
    for (let from = 0; from < bytes; from += PART_BYTES_MAX) {
      const length = Math.min(PART_BYTES_MAX, bytes - from);
      const request = { ask: "bytes", name, from, length } as const;
      const part = await this.#ask(request, Math.max(length, REFUSAL_BYTES_MAX));
      if (part.length !== length) {
        const message = `It answered with ${part.length} bytes where ${length} were due.`;
        throw new ClawError("E_LINK_PEER", message);
      }
      whole.set(part, from);
    }
    return whole;
  }

  close(): void {
    this.#questions.close();
  }

  #ask(request: PagesRequest, bytesMax: number): Promise<Uint8Array> {
    return this.#questions.ask(pagesRequestBytes(request), bytesMax);
  }
}
