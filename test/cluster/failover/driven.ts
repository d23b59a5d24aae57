/** I/O: `claw serve` in a process of its own, without a key, whose ranks are processes; alone, or a member of a cluster. */

import { type ChildProcess, spawn } from "node:child_process";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { TcpProxy } from "../../gateway/tcp-proxy.ts";
import { rankPids } from "../rank-pids.ts";

const launcher = fileURLToPath(new URL("../../../claw", import.meta.url));

export interface Setting {
  readonly model: string;
  /** For its state, and what it has in temporary folders. */
  readonly folder: string;
  /** Where packed weights are kept. */
  readonly cache: string;
  readonly flags: readonly string[];
  /** Whether its ranks are to be linked by TCP. */
  readonly linked?: boolean;
  /** Where NATS is, and the file with the cluster's secret; undefined: it is alone. */
  readonly cluster?: { readonly nats: string; readonly secretFile: string } | undefined;
  /** Told what it writes on its standard error, line by line. */
  readonly onWords: (name: string, line: string) => void;
}

export class Driven {
  readonly name: string;
  readonly url: string;
  readonly model: string;
  readonly pid: number;
  /** Its way to NATS. */
  readonly wire: TcpProxy | undefined;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;

  private constructor(child: ChildProcess, parts: Pick<Driven, "name" | "url" | "model" | "wire">) {
    this.#child = child;
    this.name = parts.name;
    this.url = parts.url;
    this.model = parts.model;
    this.wire = parts.wire;
    this.pid = child.pid as number;
    this.#exit = new Promise((resolve) => child.once("exit", resolve));
  }

  /** Resolves when it has loaded the model and, where there is a cluster, has joined it. */
  static async start(name: string, setting: Setting): Promise<Driven> {
    const { model, folder, cache, flags, linked, cluster, onWords } = setting;
    const env = {
      ...process.env,
      XDG_STATE_HOME: join(folder, `state-${name}`),
      XDG_CACHE_HOME: cache,
      TMPDIR: folder,
    };
    const wire = cluster && (await TcpProxy.start(cluster.nats));
    const control = cluster && [
      ...["--cluster-control", `nats://${wire?.address}`, "--cluster-secret-file", cluster.secretFile],
      ...["--cluster-name", name],
    ];
    const args = ["serve", "--model", model, "--port", "0", "--no-auth", ...(control ?? [])];
    if (linked === true) args.push("--ranks-link", "tcp");
    args.push(...flags);
    const child = spawn(launcher, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let rest = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onWords(name, line);
    });
    let banner = "";
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        banner += text;
        if (banner.includes("curl ")) resolve(/http:\/\/[\d.]+:\d+/.exec(banner)?.[0] ?? "");
      });
      child.once("exit", () => reject(new Error(`The server ${name} ended before it answered.`)));
    });
    return new Driven(child, { name, url, model: basename(model).replace(/\.gguf$/, ""), wire });
  }

  /** Its ranks, and after them those that are kept ready. */
  get ranks(): number[] {
    return rankPids(this.pid);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** `kill -9`, also of one that is stopped. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
    await this.wire?.close();
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGCONT");
    this.#child.kill("SIGTERM");
    await this.#exit;
    await this.wire?.close();
  }

  /** What `/health` calls its state; `silent`: it says nothing. */
  async health(): Promise<string> {
    try {
      const reply = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(2000) });
      return ((await reply.json()) as { status: string }).status;
    } catch {
      return "silent";
    }
  }

  /** Without the prefix `claw:`; 0 where there is none. */
  async metric(name: string): Promise<number> {
    const reply = await fetch(`${this.url}/metrics`, { signal: AbortSignal.timeout(5000) });
    return Number(
      new RegExp(`^claw:${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(await reply.text())?.[1] ?? 0,
    );
  }
}
