/** I/O: `claw serve` processes of one cluster, each on a wire of its own to NATS. */

import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exitOf, start } from "../cli/claw.ts";
import type { NatsServer } from "../cluster/nats-server.ts";
import { TcpProxy } from "./tcp-proxy.ts";

export interface ClusterSetting {
  readonly folder: string;
  readonly model: string;
  readonly nats: NatsServer;
  readonly flags?: readonly string[];
  /** Where packed weights are kept between starts; undefined: nowhere. */
  readonly cacheHome?: string;
}

export class GatewayServer {
  readonly name: string;
  readonly url: string;
  readonly wire: TcpProxy;
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  readonly #complaint: () => string;

  private constructor(
    child: ChildProcess,
    parts: {
      name: string;
      url: string;
      wire: TcpProxy;
      exit: Promise<number | null>;
      complaint: () => string;
    },
  ) {
    this.#child = child;
    this.name = parts.name;
    this.url = parts.url;
    this.wire = parts.wire;
    this.#exit = parts.exit;
    this.#complaint = parts.complaint;
  }

  /** Resolves when it has joined; rejects with what it complains of. */
  static async start(
    name: string,
    { folder, model, nats, flags = [], cacheHome }: ClusterSetting,
  ): Promise<GatewayServer> {
    const wire = await TcpProxy.start(nats.address);
    const own = ["--port", "0", "--no-auth", "--format", "f16", "--threads", "1"];
    if (cacheHome === undefined) own.push("--no-cache");
    const cluster = {
      control: `nats://${wire.address}`,
      "secret-file": join(folder, "secret"),
      name,
    };
    const options = Object.entries(cluster).flatMap(([option, value]) => [`--cluster-${option}`, value]);
    const env = {
      XDG_STATE_HOME: join(folder, `state-${name}`),
      ...(cacheHome === undefined ? {} : { XDG_CACHE_HOME: cacheHome }),
    };
    const child = start(["serve", "--model", model, ...own, ...options, ...flags], { env });
    const exit = exitOf(child);
    let [banner, complaint] = ["", ""];
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      // Clients that look for who answers are told so by who does not, again and again.
      const own = text.split("\n").filter((line) => !line.includes('"E_STANDBY"'));
      complaint = (complaint + own.join("\n")).slice(-100_000);
    });
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout?.setEncoding("utf8").on("data", (text: string) => {
        banner += text;
        const [found] = /http:\/\/[\d.]+:\d+/.exec(banner) ?? [];
        if (found !== undefined) resolve(found);
      });
      void exit.then(() => reject(new Error(`claw serve ended: ${complaint}`)));
    });
    return new GatewayServer(child, { name, url, wire, exit, complaint: () => complaint });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get complaint(): string {
    return this.#complaint();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** `kill -9`, also of one that is stopped. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
    await this.wire.close();
  }

  /** Lets it end by itself; its exit status. */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    const status = await this.#exit;
    await this.wire.close();
    return status;
  }

  async health(): Promise<{ readonly status: string; readonly holder?: string | null } | undefined> {
    try {
      const response = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(1000) });
      return (await response.json()) as { status: string };
    } catch {
      return undefined;
    }
  }

  /** One of its metrics, without the prefix `claw:`. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(new RegExp(`^claw:${name}(?:\\{[^}]*\\})? (\\d+)$`, "m").exec(text)?.[1]);
  }
}

export function writeSecret(folder: string): void {
  writeFileSync(join(folder, "secret"), `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
}

/** The one that answers, as soon as there is one. */
export async function owner(servers: readonly GatewayServer[]): Promise<GatewayServer> {
  for (let tries = 0; tries < 1500; tries++) {
    for (const server of servers) if ((await server.health())?.status === "ok") return server;
    await sleep(20);
  }
  throw new Error(
    `Nobody answers: ${servers.map(({ name, complaint }) => `${name}: ${complaint}`).join("; ")}`,
  );
}
