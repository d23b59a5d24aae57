/**
 * I/O: how long messages take between two processes of this machine, over every driver of links, in rounds by turns. Both ends spin
 * for the answer.
 */

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { at } from "../../base/mod.ts";
import { connectPeer, SECRET_BYTES } from "../../cluster/link/mod.ts";
import { toHex } from "../../crypto/mod.ts";
import {
  type Link,
  type LinkAddress,
  type LinkDriver,
  type RoundPlan,
  requireUcx,
} from "../../kernels/mod.ts";
import { LineProgram } from "../lines.ts";
import { median } from "../rounds.ts";
import { benchSettings } from "./settings.ts";

const SMALL_BYTES = 8 * 1024;
const LARGE_BYTES = 1024 * 1024;
/** Small messages of a round. */
export const MESSAGES_DEFAULT = 2000;
/** Small messages for each large one. */
const SMALL_PER_LARGE = 20;
const SPIN_MICROS = 1_000_000;
const LIMIT_MS = 30_000;

/** Of one driver; times are one way, half of what a message and its echo take. */
export interface LinkFigures {
  readonly driver: LinkDriver;
  readonly encrypted: boolean;
  readonly smallBytes: number;
  readonly smallMicrosP50: number;
  readonly smallMicrosP99: number;
  /** The median of a loopback connection without frames, between two threads; of TCP alone, else 0. As `wireMicros`. */
  readonly smallWireMicros: number;
  readonly largeBytes: number;
  /** Medians, as all that follows. */
  readonly largeMicros: number;
  /** One memcpy of as many bytes, after each message. */
  readonly copyMicros: number;
  readonly wireMicros: number;
  /** `largeMicros` over copy and wire. */
  readonly largeRatio: number;
}

export interface LinkReport {
  readonly bench: "link";
  readonly rounds: number;
  readonly links: readonly LinkFigures[];
}

export interface LinkOptions {
  readonly rounds: number;
  /** Small messages of a round. */
  readonly messages: number;
  /** Undefined: all that there are here. */
  readonly drivers?: readonly LinkDriver[] | undefined;
}

/** Measures drivers, `rounds` rounds after one that does not count. E_NATIVE, E_PEER, and the errors of links. */
export async function measureLinks({
  rounds,
  messages,
  drivers = driversHere(),
}: LinkOptions): Promise<LinkReport> {
  const folder = mkdtempSync(join(tmpdir(), "claw-bench-link-"));
  const ends: MeasuredLink[] = [];
  try {
    for (const driver of drivers) ends.push(await MeasuredLink.start(driver, join(folder, "link")));
    for (let round = 0; round <= rounds; round++) {
      for (const end of round % 2 === 0 ? ends : ends.toReversed()) await end.round(messages, round > 0);
    }
    return { bench: "link", rounds, links: ends.map((end) => end.figures()) };
  } finally {
    await Promise.all(ends.map((end) => end.close()));
    rmSync(folder, { recursive: true, force: true });
  }
}

function driversHere(): readonly LinkDriver[] {
  try {
    requireUcx();
    return ["shared", "tcp", "ucx"];
  } catch {
    return ["shared", "tcp"];
  }
}

class MeasuredLink {
  readonly #program: LineProgram;
  readonly #link: Link;
  readonly #small: number[] = [];
  readonly #smallWire: number[] = [];
  readonly #large: number[] = [];
  readonly #copy: number[] = [];
  readonly #wire: number[] = [];

  private constructor(program: LineProgram, link: Link) {
    this.#program = program;
    this.#link = link;
  }

  static async start(driver: LinkDriver, path: string): Promise<MeasuredLink> {
    const asked: LinkAddress = { driver, host: driver === "shared" ? path : "127.0.0.1", port: 0 };
    const secret = toHex(randomBytes(SECRET_BYTES));
    const script = fileURLToPath(new URL("./worker.ts", import.meta.url));
    const program = new LineProgram(script, [JSON.stringify(asked), secret]);
    const address = (await program.answer()) as LinkAddress;
    const { link } = await connectPeer(address, benchSettings("ask", secret));
    return new MeasuredLink(program, link);
  }

  async round(messages: number, counts: boolean): Promise<void> {
    const small = await this.#time(SMALL_BYTES, messages);
    const large = await this.#time(LARGE_BYTES, Math.ceil(messages / SMALL_PER_LARGE));
    if (!counts) return;
    this.#small.push(...small.oneWay);
    this.#smallWire.push(...small.wire);
    this.#large.push(...large.oneWay);
    this.#copy.push(...large.copy);
    this.#wire.push(...large.wire);
  }

  figures(): LinkFigures {
    const largeMicros = median(this.#large);
    const copyMicros = median(this.#copy);
    const wireMicros = medianOrNone(this.#wire);
    return {
      driver: this.#link.driver,
      encrypted: this.#link.driver === "tcp",
      smallBytes: SMALL_BYTES,
      smallMicrosP50: median(this.#small),
      smallMicrosP99: percentile(this.#small, 0.99),
      smallWireMicros: medianOrNone(this.#smallWire),
      largeBytes: LARGE_BYTES,
      largeMicros,
      copyMicros,
      wireMicros,
      largeRatio: largeMicros / (copyMicros + wireMicros),
    };
  }

  async close(): Promise<void> {
    await this.#link.close();
    this.#program.close();
  }

  async #time(bytes: number, rounds: number): ReturnType<Link["time"]> {
    const plan: RoundPlan = { bytes, rounds, spinMicros: SPIN_MICROS, limitMs: LIMIT_MS, echo: false };
    const [times] = await Promise.all([this.#link.time(plan), this.#program.ask(JSON.stringify(plan))]);
    return times;
  }
}

const medianOrNone = (values: readonly number[]): number => (values.length === 0 ? 0 : median(values));

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return at(sorted, Math.min(sorted.length - 1, Math.floor(sorted.length * share)));
}
