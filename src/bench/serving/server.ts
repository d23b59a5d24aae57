/** I/O: the server under load: `claw serve` in a process of its own. */

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ClawError } from "../../base/mod.ts";
import { START_SECONDS } from "./limits.ts";

const launcher = fileURLToPath(new URL("../../../claw", import.meta.url));

export interface ServerMemory {
  /** Resident now, and at most so far, in bytes; null where the system does not say. */
  readonly resident: number | null;
  readonly highWater: number | null;
}

export class ServerProcess {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** Starts a server on a free loopback port, without a key, and waits until it answers. Errors: E_SERVER. */
  static async start(flags: readonly string[]): Promise<ServerProcess> {
    const args = ["serve", "--port", "0", "--no-auth", ...flags];
    const child = spawn(launcher, args, { stdio: ["ignore", "pipe", "pipe"] });
    const url = await addressOf(child);
    return new ServerProcess(child, url);
  }

  memory(): ServerMemory {
    const status = readStatus(this.#child.pid);
    const bytes = (name: string): number | null => {
      const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
      return kibibytes === undefined ? null : Number(kibibytes) * 1024;
    };
    return { resident: bytes("VmRSS"), highWater: bytes("VmHWM") };
  }

  /** Ends the process; running requests do not end first. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
  }
}

/** The address in the banner. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let [banner, complaint] = ["", ""];
    const fail = (reason: string): void => {
      child.kill("SIGKILL");
      reject(new ClawError("E_SERVER", `The server to measure did not start: ${reason}`));
    };
    const timer = setTimeout(() => fail(`no answer in ${START_SECONDS} s.`), START_SECONDS * 1000);
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      banner += text;
      const url = /\bat (https?:\/\/[^\s;]+)/.exec(banner)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint = text;
    });
    child.once("exit", () => {
      clearTimeout(timer);
      fail(complaint.trim().replace(/^claw: /, ""));
    });
    child.once("error", (error) => fail(error.message));
  });
}

function readStatus(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return ""; // not Linux, or the process has ended
  }
}
