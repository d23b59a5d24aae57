/** SEND and RECEIVE of the reference: rows between a program's buffers and the links to other ranks. */

import { assert, at } from "../../base/mod.ts";
import type { Program, RankLink, StepBlock, StepLimits } from "../contract.ts";
import { operationsOf, type TapeOperation } from "../tape.ts";

/** What an exchange uses of the executable it belongs to. */
interface ExchangeView {
  readonly step: StepBlock;
  /** The values of an f32 buffer, [rows][width]. */
  values(buffer: number): Float32Array;
}

interface Transfer {
  readonly sends: boolean;
  readonly link: number;
  readonly buffer: number;
  /** Values in a row of the buffer. */
  readonly width: number;
  readonly firstToken: number;
  readonly endToken: number;
  readonly columns: readonly (readonly [first: number, count: number])[];
  /** Values of one row that travel. */
  readonly perRow: number;
}

/** Operations of SEND and RECEIVE that stand together: all are under way at once. */
type Group = readonly Transfer[];

export function isExchange({ name }: TapeOperation): boolean {
  return name === "SEND" || name === "RECEIVE";
}

/** The exchanges of a prepared program, with memory for a message in each direction of each link. */
export class Exchanges {
  /** In the order of the tape. */
  readonly #groups: readonly Group[];
  readonly #links: readonly RankLink[];
  readonly #outgoing: readonly Float32Array[];
  readonly #incoming: readonly Float32Array[];

  constructor(program: Program, limits: StepLimits, links: readonly RankLink[]) {
    this.#groups = groupsOf(program);
    this.#links = links;
    const transfers = this.#groups.flat();
    assert(
      transfers.every(({ link }) => link < links.length),
      "A program is prepared with every link it names.",
    );
    const room = (link: number, sends: boolean): Float32Array => {
      const used = transfers.filter((transfer) => transfer.link === link && transfer.sends === sends);
      const perRow = used.reduce((most, transfer) => Math.max(most, transfer.perRow), 0);
      return new Float32Array(limits.rows * perRow);
    };
    this.#outgoing = links.map((_, link) => room(link, true));
    this.#incoming = links.map((_, link) => room(link, false));
  }

  /** How many times the tape stops for others. */
  get count(): number {
    return this.#groups.length;
  }

  /** Runs the exchange of this number over the step's first `rows` rows. E_LINK. */
  async run(index: number, rows: number, view: ExchangeView): Promise<void> {
    const group = at(this.#groups, index);
    await Promise.all(
      group.map((transfer) => {
        const moved = countRows(transfer, rows, view.step);
        if (moved === 0) return undefined;
        const values = view.values(transfer.buffer);
        return transfer.sends
          ? this.#send(transfer, { rows, moved, values, step: view.step })
          : this.#receive(transfer, { rows, moved, values, step: view.step });
      }),
    );
  }

  #send(transfer: Transfer, move: Move): Promise<void> {
    const message = at(this.#outgoing, transfer.link).subarray(0, move.moved * transfer.perRow);
    let place = 0;
    eachPiece(transfer, move, (first, count) => {
      message.set(move.values.subarray(first, first + count), place);
      place += count;
    });
    return at(this.#links, transfer.link).send(bytesOf(message));
  }

  async #receive(transfer: Transfer, move: Move): Promise<void> {
    const message = at(this.#incoming, transfer.link).subarray(0, move.moved * transfer.perRow);
    await at(this.#links, transfer.link).receive(bytesOf(message));
    let place = 0;
    eachPiece(transfer, move, (first, count) => {
      move.values.set(message.subarray(place, place + count), first);
      place += count;
    });
  }
}

interface Move {
  /** Rows of the step, and how many of them travel. */
  readonly rows: number;
  readonly moved: number;
  readonly values: Float32Array;
  readonly step: StepBlock;
}

function travels({ firstToken, endToken }: Transfer, token: number): boolean {
  return token >= firstToken && token < endToken;
}

function countRows(transfer: Transfer, rows: number, { tokens }: StepBlock): number {
  let count = 0;
  for (let row = 0; row < rows; row++) if (travels(transfer, at(tokens, row))) count++;
  return count;
}

/** Visits the runs of a buffer's values that travel, in the order of the message. */
function eachPiece(
  transfer: Transfer,
  { rows, step }: Move,
  visit: (first: number, count: number) => void,
): void {
  for (let row = 0; row < rows; row++) {
    if (!travels(transfer, at(step.tokens, row))) continue;
    for (const [first, count] of transfer.columns) visit(row * transfer.width + first, count);
  }
}

function groupsOf(program: Program): Group[] {
  const groups: Transfer[][] = [];
  let open: Transfer[] | undefined;
  for (const operation of operationsOf(program.tape)) {
    if (!isExchange(operation)) {
      open = undefined;
      continue;
    }
    if (open === undefined) {
      open = [];
      groups.push(open);
    }
    open.push(transferOf(operation, program));
  }
  for (const group of groups) requireOneEach(group);
  return groups;
}

function transferOf({ name, operands }: TapeOperation, program: Program): Transfer {
  const [buffer = 0, link = 0, firstToken = 0, endToken = 0, count = 0] = operands;
  const { kind, domain, width } = at(program.buffers, buffer);
  assert(kind === "f32" && domain === "tokens", "Only rows of tokens, in f32, travel between ranks.");
  const columns = Array.from(
    { length: count },
    (_, i) => [at(operands, 5 + 2 * i), at(operands, 6 + 2 * i)] as const,
  );
  const perRow = columns.reduce((sum, [, length]) => sum + length, 0);
  return { sends: name === "SEND", link, buffer, width, firstToken, endToken, columns, perRow };
}

/** A link has memory for one message in each direction. */
function requireOneEach(group: Group): void {
  const ways = new Set(group.map(({ link, sends }) => (sends ? link : ~link)));
  assert(ways.size === group.length, "An exchange uses each direction of a link once.");
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
