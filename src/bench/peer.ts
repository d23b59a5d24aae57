/** I/O: llama.cpp in a process of its own, which runs a round for every line it is sent. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ClawError } from "../base/mod.ts";
import { LineProgram } from "./lines.ts";

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

export class Peer {
  readonly info: PeerInfo;
  readonly #program: LineProgram;

  private constructor(program: LineProgram, info: PeerInfo) {
    this.#program = program;
    this.info = info;
  }

  /** Refuses what `start` would refuse after the wait for our own model. Errors: E_PEER. */
  static requireInstalled(): void {
    if (!existsSync(installed)) throw new ClawError("E_PEER", "The peer llama.cpp is not installed.");
  }

  /** Starts the peer and loads its model; on first use compiles it. Errors: E_PEER. */
  static async start(task: PeerTask): Promise<Peer> {
    Peer.requireInstalled();
    const program = new LineProgram(script, Object.entries(task).flat().map(String));
    return new Peer(program, (await program.answer()) as PeerInfo);
  }

  /** Seconds of one round, without and with flash attention. Errors: E_PEER. */
  async round(): Promise<Readonly<Record<PeerMode, number>>> {
    return (await this.#program.ask("")) as Record<PeerMode, number>;
  }

  /** Lets the process end. */
  close(): void {
    this.#program.close();
  }
}
