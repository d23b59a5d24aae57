/**
 * What the process with the engine and a rank say to each other: commands in their order, and an answer to each step. All
 * numbers are 32-bit words in the machine's order; ranks of one placement run on machines of one order.
 */

import { at, ClawError, type ErrorCode, errorTable } from "../../base/mod.ts";
import type { RankLink, StepBlock, StepLimits } from "../../kernels/mod.ts";
import { REPORT_BYTES_MAX } from "./limits.ts";

/** A command: what is to be done, and three numbers that say with what. */
export type Command =
  | { readonly kind: "step"; readonly size: StepSize }
  | { readonly kind: "copy"; readonly from: number; readonly to: number }
  | { readonly kind: "discard"; readonly page: number }
  | { readonly kind: "counts" }
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

const kinds = ["step", "copy", "discard", "end", "counts", "read", "write"] as const;
const COMMAND_WORDS = 4;
const ANSWER_WORDS = 2;

function bytesOf(words: Int32Array | Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

export function sendCommand(link: RankLink, command: Command): Promise<void> {
  const words = new Int32Array(COMMAND_WORDS);
  words[0] = kinds.indexOf(command.kind);
  if (command.kind === "step")
    words.set([command.size.rows, command.size.outputs, command.size.pageEntries], 1);
  if (command.kind === "copy") words.set([command.from, command.to], 1);
  if (command.kind === "discard" || command.kind === "read" || command.kind === "write")
    words[1] = command.page;
  return link.send(bytesOf(words));
}

/** The next command. E_LINK when it makes no sense, or asks for more than `limits`. */
export async function receiveCommand(link: RankLink, limits: StepLimits): Promise<Command> {
  const words = new Int32Array(COMMAND_WORDS);
  await link.receive(bytesOf(words));
  const [kind = -1, a = 0, b = 0, c = 0] = words;
  if (kinds[kind] === "step") return { kind: "step", size: checkedSize([a, b, c], limits) };
  if (kinds[kind] === "copy") return { kind: "copy", from: a, to: b };
  if (kinds[kind] === "discard") return { kind: "discard", page: a };
  if (kinds[kind] === "end") return { kind: "end" };
  if (kinds[kind] === "counts") return { kind: "counts" };
  if (kinds[kind] === "read" || kinds[kind] === "write") return { kind: kinds[kind], page: a };
  throw new ClawError("E_LINK", `There is no command ${kind} for a rank.`);
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

/** Says what a step is made of, after its command. */
export function sendStep(
  link: RankLink,
  step: StepBlock,
  { rows, outputs, pageEntries }: StepSize,
): Promise<void> {
  const words = new Int32Array(3 * rows + outputs + pageEntries);
  const parts = [
    step.tokens.subarray(0, rows),
    step.positions.subarray(0, rows),
    step.pageStart.subarray(0, rows),
    step.outputs.subarray(0, outputs),
    step.pages.subarray(0, pageEntries),
  ];
  let place = 0;
  for (const part of parts) {
    words.set(part, place);
    place += part.length;
  }
  return link.send(bytesOf(words));
}

/** Fills a rank's step block with the step that comes after its command. */
export async function receiveStep(
  link: RankLink,
  step: StepBlock,
  { rows, outputs, pageEntries }: StepSize,
): Promise<void> {
  const words = new Int32Array(3 * rows + outputs + pageEntries);
  await link.receive(bytesOf(words));
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
 * others: exchanges, messages sent, bytes in them.
 */
export interface StepAnswer {
  readonly status: Int32Array;
  readonly logits: Float32Array;
  readonly exchanged: Float64Array;
}

export const EXCHANGED_NUMBERS = 3;

export async function sendAnswer(link: RankLink, { status, logits, exchanged }: StepAnswer): Promise<void> {
  const parts = [status, logits, exchanged].map(bytesOf);
  const length = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  await Promise.all([sendHead(link, "answer", length), ...parts.map((part) => link.send(part))]);
}

/** What a rank has of a page. */
export async function sendPart(link: RankLink, bytes: Uint8Array): Promise<void> {
  await Promise.all([sendHead(link, "answer", bytes.byteLength), link.send(bytes)]);
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
  return sendHead(link, "beat", 0);
}

function sendHead(link: RankLink, what: (typeof said)[number], length: number): Promise<void> {
  return link.send(bytesOf(Int32Array.of(said.indexOf(what), length)));
}

async function sendText(link: RankLink, what: "answer" | "failure", text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  await Promise.all([sendHead(link, what, bytes.byteLength), link.send(bytes)]);
}

/** What comes next over a link from a rank: an answer of so many bytes, or a beat. Throws what a rank says went wrong; E_LINK. */
export async function receiveHead(
  link: RankLink,
): Promise<{ readonly what: "answer" | "beat"; readonly length: number }> {
  const words = new Int32Array(ANSWER_WORDS);
  await link.receive(bytesOf(words));
  const [what, length] = [said[at(words, 0)], at(words, 1)];
  if (what === "failure") throw reportedError(await receiveText(link, length));
  if (what !== undefined && length >= 0) return { what, length };
  throw new ClawError("E_LINK", `A rank said what has no sense: ${words.join(", ")}.`);
}

/** What a rank says of itself. Throws why it cannot run steps. */
export async function receiveReport(link: RankLink): Promise<unknown> {
  const { length } = await receiveHead(link);
  return JSON.parse(await receiveText(link, length));
}

/** Words of so many bytes, after their head. E_LINK when those are too many. */
export async function receiveText(link: RankLink, length: number): Promise<string> {
  if (length < 0 || length > REPORT_BYTES_MAX)
    throw new ClawError("E_LINK", `A rank announced a report of ${length} bytes.`);
  const bytes = new Uint8Array(length);
  await link.receive(bytes);
  return new TextDecoder().decode(bytes);
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
