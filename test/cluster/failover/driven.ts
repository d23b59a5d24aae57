/** I/O: `claw serve` in a process of its own, without a key, with what it writes on its standard error let through. */

import { type ChildProcess, spawn } from "node:child_process";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const launcher = fileURLToPath(new URL("../../../claw", import.meta.url));

export class Driven {
  readonly url: string;
  readonly model: string;
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string, model: string) {
    this.#child = child;
    this.url = url;
    this.model = model;
    this.pid = child.pid as number;
  }

  /** Resolves when it answers. `folder`: for its state and caches. */
  static async start(model: string, folder: string, flags: readonly string[]): Promise<Driven> {
    const env = {
      ...process.env,
      XDG_STATE_HOME: join(folder, "state"),
      XDG_CACHE_HOME: join(folder, "cache"),
    };
    const args = ["serve", "--model", model, "--port", "0", "--no-auth", ...flags];
    const child = spawn(launcher, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    let banner = "";
    for await (const part of child.stdout) {
      banner += part;
      if (banner.includes("curl ")) break;
    }
    const url = /http:\/\/[\d.]+:\d+/.exec(banner)?.[0];
    if (url === undefined) throw new Error("The server did not start.");
    return new Driven(child, url, basename(model).replace(/\.gguf$/, ""));
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(new RegExp(`^claw:${name}\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]);
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await gone;
  }
}
