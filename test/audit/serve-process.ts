/** I/O: `claw serve --ledger` as a process of its own, to be killed, starved or given another time. */

import type { ChildProcess } from "node:child_process";
import { exitOf, start } from "../cli/claw.ts";

interface Setting {
  readonly model: string;
  readonly ledger: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class ServeProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  readonly #complaint: () => string;

  private constructor(
    child: ChildProcess,
    { url, exit, complaint }: { url: string; exit: Promise<number | null>; complaint: () => string },
  ) {
    this.#child = child;
    this.url = url;
    this.#exit = exit;
    this.#complaint = complaint;
  }

  /** Resolves when it serves; rejects with what it complains of. */
  static async start({ model, ledger, flags = [], env = {} }: Setting): Promise<ServeProcess> {
    const own = ["--port", "0", "--no-auth", "--no-cache", "--format", "f16", "--threads", "1"];
    const child = start(["serve", "--model", model, "--ledger", ledger, ...own, ...flags], { env });
    const exit = exitOf(child);
    let [banner, complaint] = ["", ""];
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-100_000);
    });
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout?.setEncoding("utf8").on("data", (text: string) => {
        banner += text;
        const [found] = /http:\/\/[\d.]+:\d+/.exec(banner) ?? [];
        if (found !== undefined) resolve(found);
      });
      void exit.then(() => reject(new Error(`claw serve ended: ${complaint}`)));
    });
    return new ServeProcess(child, { url, exit, complaint: () => complaint });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The end of what it wrote to its standard error. */
  get complaint(): string {
    return this.#complaint();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
  }

  /** Lets it end by itself; its exit status. */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    return await this.#exit;
  }

  /** One of its metrics, without the prefix `claw:`; `label` is among its labels. */
  async metric(name: string, label = ""): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = new RegExp(`^claw:${name}(?:\\{[^}]*${label}[^}]*\\})? (\\d+)$`, "m").exec(text);
    return Number(line?.[1]);
  }
}
