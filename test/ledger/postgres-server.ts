/** I/O: a real PostgreSQL in a temporary folder, on a socket of its own, that tests may kill. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const USER = "postgres";

/** The folder of the newest server's programs, where there is one. */
function programs(): string | undefined {
  return globSync("/usr/lib/postgresql/*/bin")
    .sort()
    .findLast((folder) => existsSync(join(folder, "initdb")));
}

/** PostgreSQL does not run as root; then Debian's user for it has to be there. */
function canRun(): boolean {
  if (programs() === undefined) return false;
  return userInfo().uid !== 0 || userId() !== undefined;
}

function userId(): number | undefined {
  const line = /^postgres:[^:]*:(\d+):/m.exec(readFileSync("/etc/passwd", "utf8"));
  return line === null ? undefined : Number(line[1]);
}

export const postgresHere: boolean = canRun();

export class PostgresServer {
  readonly folder: string;
  readonly url: string;
  #child: ChildProcess | undefined;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "claw-pg-"));
    this.url = `postgresql:///postgres?host=${this.folder}&user=${USER}`;
    if (userInfo().uid === 0) chownSync(this.folder, userId() ?? 0, -1);
    const [command, args] = this.#asUser("initdb", [
      "-D",
      this.#data,
      "-U",
      USER,
      "-A",
      "trust",
      "--no-sync",
    ]);
    execFileSync(command, args, { cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
  }

  get #data(): string {
    return join(this.folder, "data");
  }

  /** Starts it, also after it was killed, with settings beside the usual ones; resolves when it answers. */
  async start(more: readonly string[] = []): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      const settings = ["-c", "listen_addresses=", "-c", `unix_socket_directories=${this.folder}`, ...more];
      const [command, args] = this.#asUser("postgres", ["-D", this.#data, ...settings]);
      const child = spawn(command, args, { cwd: this.folder, stdio: "ignore" });
      this.#child = child;
      // What a killed one left in shared memory goes away in a moment.
      while (child.exitCode === null) {
        if (this.#answers()) return;
        await sleep(50);
      }
      await sleep(100);
    }
    throw new Error("PostgreSQL does not start.");
  }

  /** `kill -9` of the server, by its own process id; its other processes end when they notice. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const closed = once(child, "exit");
    process.kill(Number(readFileSync(join(this.#data, "postmaster.pid"), "utf8").split("\n")[0]), "SIGKILL");
    await closed;
  }

  async remove(): Promise<void> {
    await this.kill();
    await sleep(200);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #answers(): boolean {
    try {
      const [command, args] = this.#asUser("pg_isready", ["-h", this.folder, "-q"]);
      execFileSync(command, args, { cwd: this.folder, stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }

  #asUser(program: string, args: readonly string[]): [string, string[]] {
    const path = join(programs() ?? "", program);
    return userInfo().uid === 0 ? ["runuser", ["-u", USER, "--", path, ...args]] : [path, [...args]];
  }
}
