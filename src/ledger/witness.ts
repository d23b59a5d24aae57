/**
 * A witness: remembers the largest checkpoint it has seen of each log and cosigns only what continues it (C2SP
 * tlog-witness, `add-checkpoint`). Whoever asks for its cosignature can show nobody a different past.
 */

import { ClawError } from "../base/mod.ts";
import {
  type Checkpoint,
  emptyRoot,
  equalBytes,
  fromBase64,
  fromUtf8,
  type NoteSigner,
  type NoteVerifier,
  openNote,
  PROOF_HASHES_MAX,
  parseCheckpoint,
  parseNote,
  readDecimal,
  signatureLine,
  toHex,
  utf8,
  verifyConsistency,
} from "../crypto/mod.ts";
import type { Disk } from "./disk/mod.ts";

/** What the witness answers over HTTP. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly contentType: string;
  readonly body: string;
}

export interface WitnessOptions {
  readonly disk: Disk;
  readonly signers: readonly NoteSigner[];
  /** Public keys by log origin: the logs it witnesses. */
  readonly logs: ReadonlyMap<string, readonly NoteVerifier[]>;
}

interface Request {
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  readonly note: string;
  readonly claimed: Checkpoint;
}

export class Witness {
  readonly #options: WitnessOptions;
  /** Requests of one log follow each other: comparing with the last checkpoint and replacing it is one action. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** Answers a request body. Errors: E_LEDGER when the witness's own disk fails; nothing is cosigned then. */
  async addCheckpoint(body: string): Promise<WitnessAnswer> {
    const request = parseRequest(body);
    if (request === undefined)
      return text(400, "The request is not: old SIZE, proof lines, an empty line, a checkpoint.\n");
    const keys = this.#options.logs.get(request.claimed.origin);
    if (keys === undefined) return text(404, "This witness does not know the log.\n");
    if (!signedBy(request.note, keys)) return text(403, "No known key of the log signed the checkpoint.\n");
    if (request.oldSize > request.claimed.size)
      return text(400, "The old size is larger than the checkpoint's.\n");
    const { origin } = request.claimed;
    const turn = (this.#turns.get(origin) ?? Promise.resolve())
      .catch(() => {})
      .then(() => this.#advance(request));
    this.#turns.set(origin, turn);
    return turn;
  }

  async #advance({ oldSize, proof, note, claimed }: Request): Promise<WitnessAnswer> {
    const path = `${toHex(utf8(claimed.origin)).slice(0, 200)}.checkpoint`;
    const last = await this.#last(path, claimed.origin);
    if (oldSize !== last.size)
      return { status: 409, contentType: "text/x.tlog.size", body: `${last.size}\n` };
    if (!continues(last, claimed, proof))
      return text(422, "The checkpoint does not continue the last one.\n");
    const { text: signed } = parseNote(note);
    await this.#options.disk.replace(path, utf8(signed));
    const lines = this.#options.signers.map((signer) => signatureLine(signer, signer.sign(signed)));
    return text(200, lines.join(""));
  }

  async #last(path: string, origin: string): Promise<Checkpoint> {
    const bytes = await this.#options.disk.read(path);
    if (bytes === undefined) return { origin, size: 0, root: emptyRoot() };
    const last = parseCheckpoint(fromUtf8(bytes));
    if (last.origin === origin) return last;
    throw new ClawError("E_LEDGER", `The witness's file ${path} is of the log ${last.origin}.`);
  }
}

function parseRequest(body: string): Request | undefined {
  const gap = body.indexOf("\n\n");
  if (gap < 0) return undefined;
  const [first = "", ...lines] = body.slice(0, gap).split("\n");
  const oldSize = first.startsWith("old ") ? readDecimal(first.slice(4)) : undefined;
  const proof = lines.map(fromBase64);
  if (oldSize === undefined || lines.length > PROOF_HASHES_MAX || proof.includes(undefined)) return undefined;
  const note = body.slice(gap + 2);
  try {
    return { oldSize, proof: proof as Uint8Array[], note, claimed: parseCheckpoint(parseNote(note).text) };
  } catch {
    return undefined;
  }
}

function signedBy(note: string, keys: readonly NoteVerifier[]): boolean {
  try {
    openNote(note, keys);
    return true;
  } catch {
    return false;
  }
}

function continues(last: Checkpoint, claimed: Checkpoint, proof: readonly Uint8Array[]): boolean {
  if (claimed.size === 0 && !equalBytes(claimed.root, emptyRoot())) return false;
  try {
    verifyConsistency(proof, last, claimed);
    return true;
  } catch {
    return false;
  }
}

function text(status: WitnessAnswer["status"], body: string): WitnessAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}
