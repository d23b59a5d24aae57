/**
 * What the process with the engine and a rank say to each other: commands in their order, and an answer to each step. All
 * numbers are 32-bit words in the machine's order; ranks of one placement run on machines of one order. A step and its answer are
 * one message each: every message wakes a thread on either side, beside those that compute.
 */

import { assert, ClawError, type ErrorCode, errorTable } from "../../base/mod.ts";
import type { ExchangeCounts, RankLink, StepBlock, StepLimits } from "../../kernels/mod.ts";
import { PIECE_BYTES, REPORT_BYTES_MAX } from "./limits.ts";

/** A command: what is to be done, and three numbers that say with what. */
export type Command =
  | { readonly kind: "step"; readonly size: StepSize; readonly words: Int32Array }
  | { readonly kind: "copy"; readonly from: number; readonly to: number }
  | { readonly kind: "discard"; readonly page: number }
  /** The rank's part of a page is asked for. */
  | { readonly kind: "read"; readonly page: number }
  /** It follows, and takes the place of what is in the page. */
  | { readonly kind: "write"; readonly page: number }
  | { readonly kind: "end" };

/** How much of each part of a step block is in use. */
export interface StepSize {
  readonly rows: number;
  readonly outputs: number;
  readonly pageEntries: number;
}

const kinds = ["step", "copy", "discard", "end", "read", "write"] as const;
const COMMAND_WORDS = 4;
const HEAD_WORDS = 2;
const HEAD_BYTES: number = HEAD_WORDS * Int32Array.BYTES_PER_ELEMENT;

function bytesOf(words: Int32Array | Float32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Any command but a step. */
export function sendCommand(
  link: RankLink,
  command: Exclude<Command, { readonly kind: "step" }>,
): Promise<void> {
  const words = new Int32Array(COMMAND_WORDS);
  words[0] = kinds.indexOf(command.kind);
  if (command.kind === "copy") words.set([command.from, command.to], 1);
  if (command.kind === "discard" || command.kind === "read" || command.kind === "write")
    words[1] = command.page;
  return link.send(bytesOf(words));
}

function stepWords({ rows, outputs, pageEntries }: StepSize): number {
  return 3 * rows + outputs + pageEntries;
}

/** A step, and what it is made of. */
export function sendStep(link: RankLink, step: StepBlock, size: StepSize): Promise<void> {
  const { rows, outputs, pageEntries } = size;
  const words = new Int32Array(COMMAND_WORDS + stepWords(size));
  words.set([kinds.indexOf("step"), rows, outputs, pageEntries]);
  const parts = [
    step.tokens.subarray(0, rows),
    step.positions.subarray(0, rows),
    step.pageStart.subarray(0, rows),
    step.outputs.subarray(0, outputs),
    step.pages.subarray(0, pageEntries),
  ];
  let place = COMMAND_WORDS;
  for (const part of parts) {
    words.set(part, place);
    place += part.length;
  }
  return link.send(bytesOf(words));
}

/** Receives commands; the words of a step are there until the next one is asked for. */
export class CommandReader {
  readonly #link: RankLink;
  readonly #limits: StepLimits;
  readonly #words: Int32Array;

  constructor(link: RankLink, limits: StepLimits) {
    this.#link = link;
    this.#limits = limits;
    this.#words = new Int32Array(COMMAND_WORDS + stepWords(limits));
  }

  /** The next command. E_LINK when it makes no sense, or asks for more than the limits. */
  async next(): Promise<Command> {
    const bytes = await this.#link.receiveSome(bytesOf(this.#words));
    const [kind = -1, a = 0, b = 0, c = 0] = this.#words;
    const step = kinds[kind] === "step";
    const size = step ? checkedSize([a, b, c], this.#limits) : { rows: 0, outputs: 0, pageEntries: 0 };
    const end = COMMAND_WORDS + stepWords(size);
    if (bytes !== end * Int32Array.BYTES_PER_ELEMENT) {
      throw new ClawError(
        "E_LINK",
        `A command for a rank is of ${bytes} bytes, and says that it has ${end} words.`,
      );
    }
    if (step) return { kind: "step", size, words: this.#words.subarray(COMMAND_WORDS, end) };
    if (kinds[kind] === "copy") return { kind: "copy", from: a, to: b };
    if (kinds[kind] === "discard") return { kind: "discard", page: a };
    if (kinds[kind] === "end") return { kind: "end" };
    if (kinds[kind] === "read" || kinds[kind] === "write") return { kind: kinds[kind], page: a };
    throw new ClawError("E_LINK", `There is no command ${kind} for a rank.`);
  }
}

function checkedSize(
  [rows, outputs, pageEntries]: readonly [number, number, number],
  limits: StepLimits,
): StepSize {
  const within = (value: number, most: number): boolean => value >= 0 && value <= most;
  const fits = within(rows, limits.rows) && within(outputs, limits.outputs);
  if (fits && within(pageEntries, limits.pageEntries)) return { rows, outputs, pageEntries };
  const asked = `${rows} rows, ${outputs} outputs and ${pageEntries} page entries`;
  throw new ClawError("E_LINK", `A step of ${asked} is beyond what this rank was prepared for.`);
}

/** Fills a rank's step block with the words of a step. */
export function placeStep(step: StepBlock, { rows, outputs }: StepSize, words: Int32Array): void {
  step.tokens.set(words.subarray(0, rows));
  step.positions.set(words.subarray(rows, 2 * rows));
  step.pageStart.set(words.subarray(2 * rows, 3 * rows));
  step.outputs.set(words.subarray(3 * rows, 3 * rows + outputs));
  step.pages.set(words.subarray(3 * rows + outputs));
}

/** What a rank says begins with what it is, and its bytes: an answer, a failure instead of one, or that it is there. */
const said = ["answer", "failure", "beat"] as const;

/**
 * What a rank answers to a step: the status of each row, the logits of its part of the vocabulary, and what it exchanged with
 * others in it.
 */
export interface StepAnswer {
  readonly status: Int32Array;
  readonly logits: Float32Array;
  readonly exchanged: ExchangeCounts;
}

/** Of ExchangeCounts, as they are sent. */
const COUNTS = ["exchanges", "messages", "bytes", "waitedSeconds"] as const;
const COUNTS_BYTES: number = COUNTS.length * Float64Array.BYTES_PER_ELEMENT;

/** Bytes of the answer to a step of so many rows and logits, without its head. */
export function answerBytes(rows: number, logits: number): number {
  return COUNTS_BYTES + (rows + logits) * Int32Array.BYTES_PER_ELEMENT;
}

interface AnswerParts {
  readonly counts: Float64Array;
  readonly status: Int32Array;
  readonly logits: Float32Array;
}

/** The parts of an answer to a step of so many rows, in the memory of its bytes, as far as they are there. */
function partsOf({ buffer, byteOffset, byteLength }: Uint8Array, rows: number): AnswerParts {
  const place = byteOffset + COUNTS_BYTES;
  const status = new Int32Array(buffer, place, rows);
  const logits = (byteLength - COUNTS_BYTES - status.byteLength) / Float32Array.BYTES_PER_ELEMENT;
  return {
    counts: new Float64Array(buffer, byteOffset, COUNTS.length),
    status,
    logits: new Float32Array(buffer, place + status.byteLength, logits),
  };
}

/** What the bytes of an answer to a step of so many rows say, as long as they stay. */
export function readAnswer(bytes: Uint8Array, rows: number): StepAnswer {
  const { counts, status, logits } = partsOf(bytes, rows);
  const [exchanges = 0, messages = 0, moved = 0, waitedSeconds = 0] = counts;
  return { status, logits, exchanged: { exchanges, messages, bytes: moved, waitedSeconds } };
}

/** Sends the answers to steps, one after the other. */
export class AnswerWriter {
  readonly #link: RankLink;
  readonly #room: Uint8Array = new Uint8Array(PIECE_BYTES);

  constructor(link: RankLink) {
    this.#link = link;
  }

  /** Resolves when it is sent, before which no other may be, and the answer may not change: what is long is sent from where it lies. */
  async send({ exchanged, status, logits }: StepAnswer): Promise<void> {
    const total = HEAD_BYTES + answerBytes(status.length, logits.length);
    const first = firstLogits(status.length, logits.length);
    const message = this.#room.subarray(0, HEAD_BYTES + answerBytes(status.length, first));
    const parts = partsOf(message.subarray(HEAD_BYTES), status.length);
    parts.counts.set(COUNTS.map((count) => exchanged[count]));
    parts.status.set(status);
    parts.logits.set(logits.subarray(0, first));
    setHead(message, "answer", total);
    const rest = bytesOf(logits.subarray(first));
    const sent = [this.#link.send(message)];
    if (rest.byteLength > 0) sent.push(this.#link.send(rest));
    await Promise.all(sent);
  }
}

/**
 * Logits of an answer, of that many in all, that come with its first piece; the rest is a message of its own. Rows of a step have room there: they
 * are words, as logits are.
 */
export function firstLogits(rows: number, logits: number): number {
  const room = Math.floor((PIECE_BYTES - HEAD_BYTES - COUNTS_BYTES) / Float32Array.BYTES_PER_ELEMENT) - rows;
  assert(room >= 0, "The status of a step's rows fits one piece.");
  return Math.min(room, logits);
}

/** What a rank has of a page: `read` fills that many bytes. */
export function sendPart(link: RankLink, bytes: number, read: (into: Uint8Array) => void): Promise<void> {
  const message = new Uint8Array(HEAD_BYTES + bytes);
  read(message.subarray(HEAD_BYTES));
  return sendSaid(link, "answer", message);
}

/** A rank could not do what it was told: why, instead of an answer. */
export function sendFailure(link: RankLink, { code, message }: ClawError): Promise<void> {
  return sendText(link, "failure", JSON.stringify({ code, message: message.slice(0, REPORT_BYTES_MAX / 8) }));
}

/** What a rank says of itself when it can run steps: plain data. */
export function sendReport(link: RankLink, report: unknown): Promise<void> {
  return sendText(link, "answer", JSON.stringify(report));
}

/** Between what else it says, a rank says that it is there. */
export function sendBeat(link: RankLink): Promise<void> {
  return sendSaid(link, "beat", new Uint8Array(HEAD_BYTES));
}

/**
 * Sends a message with room for its head. Who hears it may get a beat instead, and has a piece's room for either: what is longer
 * follows in a message of its own.
 */
async function sendSaid(link: RankLink, what: (typeof said)[number], message: Uint8Array): Promise<void> {
  setHead(message, what, message.byteLength);
  const first = link.send(message.subarray(0, PIECE_BYTES));
  if (message.byteLength <= PIECE_BYTES) return first;
  await Promise.all([first, link.send(message.subarray(PIECE_BYTES))]);
}

/** `bytes`: of all pieces, the head included. */
function setHead(message: Uint8Array, what: (typeof said)[number], bytes: number): void {
  message.set(bytesOf(Int32Array.of(said.indexOf(what), bytes - HEAD_BYTES)));
}

function sendText(link: RankLink, what: "answer" | "failure", text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  const message = new Uint8Array(HEAD_BYTES + bytes.byteLength);
  message.set(bytes, HEAD_BYTES);
  return sendSaid(link, what, message);
}

/** What a rank answered. */
export interface HeardAnswer {
  /** Without its head; there until the next is asked for. Without what went elsewhere. */
  readonly bytes: Uint8Array;
  /** Of all of it. */
  readonly byteLength: number;
}

/** Hears what a rank says. */
export class RankEar {
  readonly #link: RankLink;
  /** A piece, and more where an answer had more. */
  #room: Uint8Array = new Uint8Array(PIECE_BYTES);

  constructor(link: RankLink) {
    this.#link = link;
  }

  /**
   * The next answer, or undefined for a beat. `due` says how many bytes it may have, `rest` where those after its first piece go if they are
   * just as many; undefined: nowhere else. Throws what a rank says went wrong; E_LINK.
   */
  async next(
    due: () => number,
    rest: () => Uint8Array | undefined = () => undefined,
  ): Promise<HeardAnswer | undefined> {
    const got = await this.#link.receiveSome(this.#room.subarray(0, PIECE_BYTES));
    const [kind = -1, length = -1] = new Int32Array(this.#room.buffer, 0, HEAD_WORDS);
    const what = said[kind];
    const most = what === "answer" ? due() : what === "failure" ? REPORT_BYTES_MAX : 0;
    const total = HEAD_BYTES + length;
    const sensible = what !== undefined && length >= 0 && length <= most;
    if (!sensible || got !== Math.min(total, PIECE_BYTES)) {
      throw new ClawError(
        "E_LINK",
        `A rank said what has no sense: ${kind}, ${length} bytes, ${got} of them here; at most ${most} were due.`,
      );
    }
    if (what === "beat") return undefined;
    const elsewhere = what === "answer" && total > PIECE_BYTES ? rest() : undefined;
    if (elsewhere?.byteLength === total - PIECE_BYTES) {
      await this.#link.receive(elsewhere);
      return { bytes: this.#room.subarray(HEAD_BYTES, PIECE_BYTES), byteLength: length };
    }
    const bytes = (await this.#whole(total)).subarray(HEAD_BYTES, total);
    if (what === "failure") throw reportedError(new TextDecoder().decode(bytes));
    return { bytes, byteLength: length };
  }

  async #whole(total: number): Promise<Uint8Array> {
    if (this.#room.byteLength < total) {
      const room = new Uint8Array(total);
      room.set(this.#room.subarray(0, PIECE_BYTES));
      this.#room = room;
    }
    if (total > PIECE_BYTES) await this.#link.receive(this.#room.subarray(PIECE_BYTES, total));
    return this.#room;
  }
}

/** What a rank says of itself. Throws why it cannot run steps. */
export async function receiveReport(link: RankLink): Promise<unknown> {
  const report = await new RankEar(link).next(() => REPORT_BYTES_MAX);
  assert(report !== undefined, "A rank beats only when it is ready.");
  return JSON.parse(new TextDecoder().decode(report.bytes));
}

/** The error in a report; E_LINK when it is none. */
function reportedError(text: string): ClawError {
  try {
    const { code, message } = JSON.parse(text) as { code: unknown; message: unknown };
    if (typeof code === "string" && Object.hasOwn(errorTable, code) && typeof message === "string") {
      return new ClawError(code as ErrorCode, message);
    }
  } catch {
    // What it says is in the error below.
  }
  return new ClawError("E_LINK", `A rank failed and said ${JSON.stringify(text.slice(0, 200))}.`);
}
