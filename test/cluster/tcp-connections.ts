/** I/O: the TCP connections of a process, as the system lists them. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface TcpConnection {
  readonly localPort: number;
  readonly remotePort: number;
}

const ESTABLISHED = "01";

/** Those over IPv4 that are established; none of a process that has ended. */
export function tcpConnections(pid: number): TcpConnection[] {
  try {
    const sockets = new Set(
      readdirSync(`/proc/${pid}/fd`).flatMap((name) => socketOf(`/proc/${pid}/fd/${name}`)),
    );
    // After a line of headings: number, local and remote address with port, state, six others, inode.
    const rows = readFileSync(`/proc/${pid}/net/tcp`, "utf8").trim().split("\n").slice(1);
    return rows
      .map((row) => row.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode = ""]) => state === ESTABLISHED && sockets.has(inode))
      .map(([, local = "", remote = ""]) => ({ localPort: portOf(local), remotePort: portOf(remote) }));
  } catch {
    return [];
  }
}

function portOf(address: string): number {
  return Number.parseInt(address.split(":")[1] ?? "", 16);
}

function socketOf(path: string): string[] {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.slice(1) ?? [];
  } catch {
    return []; // it was closed meanwhile
  }
}
