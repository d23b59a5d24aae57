/** Two nodes with a link between them: this process listens, another one connects. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { ClawError } from "../../../src/base/mod.ts";
import { type LinkSettings, type PeerLink, PeerListener } from "../../../src/cluster/link/mod.ts";
import type { LinkAddress, LinkDriver } from "../../../src/kernels/mod.ts";

const script = new URL("./node.ts", import.meta.url).pathname;

export const SECRET: Uint8Array = new Uint8Array(32).fill(9);

export const settingsOf = (node: string, changed: Partial<LinkSettings> = {}): LinkSettings => ({
  secret: SECRET,
  node,
  epoch: 5,
  handshakeMs: 20_000,
  ...changed,
});

export interface Answer {
  readonly done?: string;
  readonly peer?: string;
  readonly address?: LinkAddress;
  readonly code?: string;
  readonly message?: string;
}

interface NodeOptions {
  readonly address: LinkAddress;
  readonly listen?: boolean;
  readonly settings?: LinkSettings;
  /** Shell words before the command. */
  readonly prelude?: string;
}

export class NodeProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor({ address, listen = false, settings = settingsOf("far"), prelude = "" }: NodeOptions) {
    const task = { address, listen, settings: { ...settings, secret: [...settings.secret] } };
    const command = `${prelude} exec "$0" "$1" "$2"`;
    this.#child = spawn("bash", ["-c", command, process.execPath, script, JSON.stringify(task)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stdin.on("error", () => {});
  }

  /** Its next line. */
  async answer(): Promise<Answer> {
    const line = await this.#lines.next();
    return line.done === true ? {} : (JSON.parse(line.value) as Answer);
  }

  ask(line: string): Promise<Answer> {
    this.#child.stdin.write(`${line}\n`);
    return this.answer();
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** What a test opened, to be closed in the end. */
export class Nodes {
  readonly #folder = mkdtempSync(join(tmpdir(), "claw-link-"));
  readonly #listeners: PeerListener[] = [];
  readonly #processes: NodeProcess[] = [];
  readonly #links: PeerLink[] = [];
  readonly refused: ClawError[] = [];
  #waiting: ((peer: PeerLink) => void)[] = [];

  address(driver: LinkDriver): LinkAddress {
    const host = driver === "shared" ? join(this.#folder, `link-${this.#listeners.length}`) : "127.0.0.1";
    return { driver, host, port: 0 };
  }

  /** Listens in this process. */
  listen(driver: LinkDriver, settings: LinkSettings = settingsOf("near")): LinkAddress {
    const listener = new PeerListener(this.address(driver), {
      settings: () => settings,
      onLink: (peer) => {
        this.#links.push(peer);
        for (const resolve of this.#waiting.splice(0)) resolve(peer);
      },
      onRefused: (error) => this.refused.push(error),
    });
    this.#listeners.push(listener);
    return listener.address;
  }

  /** The next peer that is given a link. */
  next(): Promise<PeerLink> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  start(options: NodeOptions): NodeProcess {
    const node = new NodeProcess(options);
    this.#processes.push(node);
    return node;
  }

  /** A process that is linked with this one. */
  async pair(driver: LinkDriver): Promise<{ readonly near: PeerLink; readonly far: NodeProcess }> {
    const address = this.listen(driver);
    const linked = this.next();
    const far = this.start({ address });
    const { message } = await far.answer();
    if (message !== undefined) throw new Error(message);
    return { near: await linked, far };
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((node) => node.kill()));
    await Promise.all(this.#links.map(({ link }) => link.close()));
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Looks until something is so. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
