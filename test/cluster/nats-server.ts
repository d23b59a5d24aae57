/** I/O: a real NATS server with JetStream in a temporary folder, on a port of its own, that tests may kill. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

function canRun(): boolean {
  try {
    execFileSync("nats-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export const natsHere: boolean = canRun();

export class NatsServer {
  readonly #folder = mkdtempSync(join(tmpdir(), "claw-nats-"));
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #port = 0;

  /** `args`: beside those that every one is started with. */
  constructor(args: readonly string[] = []) {
    this.#args = args;
  }

  get port(): number {
    return this.#port;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Starts it, also after it was killed, on the port it had; resolves when it takes connections. */
  async start(): Promise<void> {
    if (this.#port === 0) this.#port = await freePort();
    const args = ["-a", "127.0.0.1", "-p", String(this.#port), "-js", "-sd", this.#folder, ...this.#args];
    const child = spawn("nats-server", args, { stdio: "ignore" });
    this.#child = child;
    for (let tries = 0; tries < 600 && child.exitCode === null; tries++) {
      if (await takesConnections(this.#port)) return;
      await sleep(50);
    }
    throw new Error("nats-server does not start.");
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
