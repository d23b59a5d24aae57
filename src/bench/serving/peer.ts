/** The same load through node-llama-cpp. */

import { fileURLToPath } from "node:url";
import { LineProgram } from "../lines.ts";
import type { RequestTimes } from "./record.ts";
import type { PlannedRequest } from "./workload.ts";

const script = fileURLToPath(new URL("../../../tools/peer/serve.mjs", import.meta.url));

export interface PeerServerOptions {
  readonly model: string;
  readonly threads: number;
  /** Sequences that run together, and positions of each. */
  readonly sequences: number;
  readonly context: number;
}

export interface PeerServerInfo {
  readonly version: string;
  readonly llamaCpp: unknown;
  readonly systemInfo: string;
}

export interface PeerLoad {
  readonly requests: readonly RequestTimes[];
  readonly seconds: number;
}

/** llama.cpp behind node-llama-cpp's own batching, in a process of its own; idle between loads. */
export class PeerServer {
  readonly info: PeerServerInfo;
  readonly #program: LineProgram;

  private constructor(program: LineProgram, info: PeerServerInfo) {
    this.#program = program;
    this.info = info;
  }

  /** Errors: E_PEER. */
  static async start(options: PeerServerOptions): Promise<PeerServer> {
    const program = new LineProgram(script, Object.entries(options).flat().map(String));
    return new PeerServer(program, (await program.answer()) as PeerServerInfo);
  }

  /** Runs a load to its end. Errors: E_PEER. */
  async run(plans: readonly PlannedRequest[]): Promise<PeerLoad> {
    return (await this.#program.ask(JSON.stringify(plans))) as PeerLoad;
  }

  close(): void {
    this.#program.close();
  }
}
