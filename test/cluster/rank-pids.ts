/** I/O: the processes of ranks that another process has started, as the system lists them. */

import { readdirSync, readFileSync } from "node:fs";

interface Listed {
  readonly pid: number;
  readonly startedAt: number;
}

/** Of the ranks that `parent` started and that run or are stopped, the oldest first; those that are used are older than spares. */
export function rankPids(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): Listed[] => {
      const stat = read(`/proc/${name}/stat`);
      // After the command, which may hold anything but ends with the last bracket: state, parent, ... start time.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [state, ppid] = fields;
      const isRank = read(`/proc/${name}/cmdline`).includes("\0node\0rank");
      if (Number(ppid) !== parent || state === "Z" || !isRank) return [];
      return [{ pid: Number(name), startedAt: Number(fields[19]) }];
    })
    .sort((a, b) => a.startedAt - b.startedAt || a.pid - b.pid)
    .map(({ pid }) => pid);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended meanwhile
  }
}
