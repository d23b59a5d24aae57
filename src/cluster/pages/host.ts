/**
 * I/O: files. Tells standbys of the cluster, over links, what pages lie in this server's folder, and hands them out. It reads a part
 * at a time and rests after each.
 */

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { utf8 } from "../../crypto/mod.ts";
import {
  answerOf,
  answerRoom,
  giveAnswer,
  jsonAnswer,
  nextQuestion,
  type PeerLink,
  refusal,
  Turns,
} from "../link/mod.ts";
import { FolderChanges } from "./folder-changes.ts";
import { folderId } from "./folder-id.ts";
import { ASK_BYTES_MAX, IDLE_MS, LINKS_MAX, READS_MAX } from "./limits.ts";
import { type PagesRequest, readPagesRequest } from "./message.ts";

/** Why a file that is there may not be opened for a while. */
const passing: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

export class PageHost {
  readonly #folder: string;
  readonly #id: string;
  readonly #idleMs: number;
  readonly #changes: FolderChanges;
  readonly #links = new Set<PeerLink["link"]>();
  readonly #turns = new Turns(READS_MAX);
  #handedOut = 0;

  /** `folder` is there. `idleMs`: how long a peer may ask nothing, or take nothing of an answer. E_FILE. */
  constructor(folder: string, idleMs: number = IDLE_MS) {
    this.#folder = folder;
    this.#idleMs = idleMs;
    this.#id = folderId(folder);
    this.#changes = new FolderChanges(folder);
  }

  /** Bytes of files that went out. */
  get handedOut(): number {
    return this.#handedOut;
  }

  /** E_NODE where too many are being served. */
  check(): void {
    if (this.#links.size < LINKS_MAX) return;
    throw new ClawError("E_NODE", `Pages are handed out over ${LINKS_MAX} links already.`);
  }

  /** Answers what a peer asks until it ends the link. E_LINK_PEER where it says what no member says. The caller closes the link. */
  async serve({ link }: Pick<PeerLink, "link">): Promise<void> {
    this.#links.add(link);
    const changes = this.#changes.reader();
    try {
      for (;;) {
        const question = await nextQuestion(link, { bytesMax: ASK_BYTES_MAX, idleMs: this.#idleMs });
        if (question === undefined) return;
        const request = readPagesRequest(question);
        await giveAnswer(link, await this.#answer(request, changes).catch(refusal), this.#idleMs);
      }
    } finally {
      this.#links.delete(link);
    }
  }

  close(): void {
    for (const link of this.#links) link.end();
  }

  async #answer(request: PagesRequest, changes: ReturnType<FolderChanges["reader"]>): Promise<Uint8Array> {
    if (request.ask === "changes") return jsonAnswer(await changes(request.after));
    if (request.ask === "bytes") return this.#turns.take(() => this.#part(request));
    const id = utf8(this.#id);
    const room = answerRoom(id.length);
    answerOf(room).set(id);
    return room;
  }

  /** E_NODE where it is not there, or not any more; E_FILE where it cannot be read now. */
  async #part({ name, from, length }: PagesRequest & { ask: "bytes" }): Promise<Uint8Array> {
    let file: FileHandle;
    try {
      // Nothing but a file of this folder: neither what a link leads to nor what would have to be waited for.
      const how = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      file = await open(join(this.#folder, name), how);
    } catch (cause) {
      // The one who asks would pass over a page that is here.
      if (passing.has((cause as NodeJS.ErrnoException).code ?? "")) {
        throw new ClawError("E_FILE", "The server cannot open more files now: raise its limit of them.", {
          cause,
        });
      }
      throw new ClawError("E_NODE", "The page is not here any more.");
    }
    try {
      const room = answerRoom(length);
      const whole = (await file.stat()).isFile();
      const { bytesRead } = whole ? await file.read(answerOf(room), 0, length, from) : { bytesRead: 0 };
      if (bytesRead !== length) throw new ClawError("E_NODE", "The file of the page is not so long.");
      this.#handedOut += length;
      return room;
    } finally {
      await file.close();
    }
  }
}
