/**
 * I/O: a place to write to that can be made to run full under a process: a small file system of its own where this user may
 * mount one, else a limit on the size of the process's files.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface ScarceDisk {
  readonly how: string;
  readonly folder: string;
  /** Lets the process write nothing more, or next to nothing. */
  fill(pid: number): void;
  free(pid: number): void;
  remove(): void;
}

export function scarceDisk(): ScarceDisk {
  const folder = mkdtempSync(join(tmpdir(), "claw-scarce-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=700", "claw-scarce", folder]);
  return mounted.status === 0 ? new SmallFileSystem(folder) : new SizeLimit(folder);
}

class SmallFileSystem implements ScarceDisk {
  readonly how = "a file system of 8 MiB";
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  fill(): void {
    const ballast = openSync(join(this.folder, "ballast"), "w");
    try {
      for (const block = Buffer.alloc(4096); ; ) writeSync(ballast, block);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    } finally {
      closeSync(ballast);
    }
  }

  free(): void {
    rmSync(join(this.folder, "ballast"));
  }

  remove(): void {
    execFileSync("umount", ["--lazy", this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** RLIMIT_FSIZE: a write that would make a file larger fails with EFBIG. */
class SizeLimit implements ScarceDisk {
  readonly how = "a limit on the size of files";
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The journal's newest file does not grow any more. */
  fill(pid: number): void {
    const journal = join(this.folder, "ledger", "log", "journal");
    const newest = readdirSync(journal).sort().at(-1) ?? "";
    this.#limit(pid, String(statSync(join(journal, newest)).size));
  }

  free(pid: number): void {
    this.#limit(pid, "unlimited");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #limit(pid: number, soft: string): void {
    execFileSync("prlimit", ["--pid", String(pid), `--fsize=${soft}:unlimited`]);
  }
}
