/**
 * I/O: a network of this process's own (`unshare -n`), in which processes can be cut off: what they send and what is sent to them is
 * dropped in silence. The machine's own network is not touched.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { tcpConnections } from "../tcp-connections.ts";

/** The network that whoever began was in. */
const OUTSIDE = "CLAW_FAILOVER_OUTSIDE";

/** Rules are asked in the order of these; the one that takes what is sent on this machine has to come after those that drop. */
const DROP_RULES = 100;
const LOCAL_RULE = 1000;

function network(): string {
  return readlinkSync("/proc/self/ns/net");
}

/** Why there can be none; undefined: there can. */
export function noOwnNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return "only root may make a network of its own";
  const { error, status, stderr } = spawnSync("unshare", ["-n", "ip", "rule"], { encoding: "utf8" });
  return status === 0 ? undefined : `unshare -n ip rule: ${error?.message ?? stderr.trim()}`;
}

/** Begins this program anew in a network of its own, or readies that network. Throws where there can be none. */
export function enterOwnNetwork(): void {
  const outside = process.env[OUTSIDE];
  if (outside === undefined || outside === network()) {
    const why = noOwnNetwork();
    if (why !== undefined) throw new Error(`Ranks cannot be cut off here: ${why}.`);
    const script = 'exec unshare -n "$@"';
    const again = ["sh", "-c", script, "sh", process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    process.execve?.("/bin/sh", again, { ...process.env, [OUTSIDE]: network() });
    throw new Error("Ranks cannot be cut off here: a program cannot be begun anew on this system.");
  }
  ip("link set lo up");
  ip(`rule add pref ${LOCAL_RULE} lookup local`, "rule del pref 0");
}

/** What a process is cut off by, until it is healed. */
export class Cut {
  /** How many connections it was cut off from. */
  readonly connections: number;
  readonly #rules: readonly string[];

  /** All connections that it has. */
  constructor(pid: number) {
    const connections = tcpConnections(pid);
    this.connections = connections.length;
    this.#rules = connections.flatMap(({ localPort, remotePort }) => [
      `pref ${DROP_RULES} blackhole ipproto tcp sport ${localPort} dport ${remotePort}`,
      `pref ${DROP_RULES} blackhole ipproto tcp sport ${remotePort} dport ${localPort}`,
    ]);
    ip(...this.#rules.map((rule) => `rule add ${rule}`));
  }

  /** Others may be given its ports. */
  heal(): void {
    ip(...this.#rules.map((rule) => `rule del ${rule}`));
  }
}

function ip(...commands: readonly string[]): void {
  if (process.env[OUTSIDE] === undefined || process.env[OUTSIDE] === network()) {
    throw new Error("The machine's own network is not to be changed.");
  }
  execFileSync("ip", ["-batch", "-"], { input: `${commands.join("\n")}\n` });
}
