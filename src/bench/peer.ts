/** I/O: llama.cpp in a process of its own, which runs a round for every line it is sent. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { ClawError } from "../base/mod.ts";

const script = fileURLToPath(new URL("../../tools/peer/speed.mjs", import.meta.url));
const installed = fileURLToPath(new URL("../../tools/peer/node_modules/node-llama-cpp", import.meta.url));

/** What the peer is to time; see tools/peer/speed.cc. */
export interface PeerTask {
  readonly model: string;
  readonly threads: number;
  readonly task: "decode" | "prefill";
  readonly sequences: number;
  /** Tokens of each sequence before a round, or of the prompt. */
  readonly filled: number;
  /** Tokens of each sequence that a round decodes. */
  readonly steps: number;
}

export interface PeerInfo {
  readonly release: string;
  /** The processor features it was compiled for and found. */
  readonly features: string;
}

/** Whether flash attention is on. */
export type PeerMode = "off" | "on";

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

export class Peer {
  readonly info: PeerInfo;
  readonly #child: Child;
  readonly #answers: Answers;

  private constructor(child: Child, answers: Answers, info: PeerInfo) {
    this.#child = child;
    this.#answers = answers;
    this.info = info;
  }

  /** Refuses what `start` would refuse after the wait for our own model. Errors: E_PEER. */
  static requireInstalled(): void {
    if (!existsSync(installed)) throw new ClawError("E_PEER", "The peer llama.cpp is not installed.");
  }

  /** Starts the peer and loads its model; on first use compiles it. Errors: E_PEER. */
  static async start(task: PeerTask): Promise<Peer> {
    Peer.requireInstalled();
    const args = Object.entries(task).flat().map(String);
    const child = spawn(process.execPath, [script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    const answers = new Answers(child);
    return new Peer(child, answers, (await answers.next()) as PeerInfo);
  }

  /** Seconds of one round, without and with flash attention. Errors: E_PEER. */
  async round(): Promise<Readonly<Record<PeerMode, number>>> {
    this.#child.stdin.write("\n");
    return (await this.#answers.next()) as Record<PeerMode, number>;
  }

  /** Lets the process end. */
  close(): void {
    this.#child.stdin.end();
  }
}

/** The JSON lines a child prints, one after the other. */
class Answers {
  readonly #lines: AsyncIterator<string>;
  #said = "";

  constructor(child: Child) {
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#said = text;
    });
    // A child that is gone is noticed when its next line does not come.
    child.stdin.on("error", () => {});
    child.on("error", () => {});
  }

  async next(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done !== true) return JSON.parse(line.value);
    const reason = this.#said.trim().split("\n").at(-1) ?? "";
    throw new ClawError(
      "E_PEER",
      `The peer ended before it answered${reason === "" ? "" : `: ${reason.replace(/\.$/, "")}`}.`,
    );
  }
}
