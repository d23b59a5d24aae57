/** I/O: how much memory this process may still take: what the system has free, and what its control groups leave. */

import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Bytes that can be taken without swapping or being killed: the least of MemAvailable and, for this process's control group
 * and each around it (version 2 or 1), limit - usage + cached files that would give way. Undefined where nothing says.
 * `root` stands before `/proc` and `/sys`.
 */
export function availableMemory(root = "/"): number | undefined {
  const read = (path: string): string => text(join(root, path));
  const kilobytes = /^MemAvailable:\s*(\d+) kB$/m.exec(read("proc/meminfo"))?.[1];
  const system = kilobytes === undefined ? [] : [Number(kilobytes) * 1024];
  const all = [...system, ...versions.flatMap((version) => groupsLeave(read, version))];
  return all.length === 0 ? undefined : Math.max(0, Math.min(...all));
}

/** Where a version of control groups says what. */
interface Version {
  /** In /proc/self/cgroup and as a folder; version 2 has none. */
  readonly controller: string;
  readonly limit: string;
  readonly usage: string;
  /** In memory.stat: files in memory that nobody used lately. */
  readonly idleFiles: RegExp;
}

const versions: readonly Version[] = [
  { controller: "", limit: "memory.max", usage: "memory.current", idleFiles: /^inactive_file (\d+)$/m },
  {
    controller: "memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    idleFiles: /^total_inactive_file (\d+)$/m,
  },
];

/** What the group of this process and those around it leave, each; groups without a limit leave everything. */
function groupsLeave(
  read: (path: string) => string,
  { controller, limit, usage, idleFiles }: Version,
): number[] {
  const line = read("proc/self/cgroup")
    .split("\n")
    .map((entry) => entry.split(":"))
    .find(([, controllers = ""]) => controllers.split(",").includes(controller));
  if (line === undefined) return [];
  const parts = (line[2] ?? "/").split("/").filter((part) => part !== "" && part !== "..");
  const left: number[] = [];
  // A container may see its own group as the root, whatever its path is outside.
  for (let depth = 0; depth <= parts.length; depth++) {
    const folder = join("sys/fs/cgroup", controller, ...parts.slice(0, depth));
    const most = number(read(join(folder, limit)));
    const used = number(read(join(folder, usage)));
    if (most === undefined || used === undefined) continue;
    left.push(most - used + Number(idleFiles.exec(read(join(folder, "memory.stat")))?.[1] ?? 0));
  }
  return left;
}

/** Undefined for `max`, and for what is not there. */
function number(said: string): number | undefined {
  return /^\d+$/.test(said.trim()) ? Number(said) : undefined;
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
