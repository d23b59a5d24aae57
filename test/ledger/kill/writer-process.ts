/** I/O: a writer that is started ahead of its time, set going, and killed. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const WRITER = fileURLToPath(new URL("writer.ts", import.meta.url));

/** What one life promised. */
export interface Promises {
  readonly opened: boolean;
  readonly entries: readonly (readonly [index: number, text: string])[];
  readonly checkpoints: readonly (readonly [size: number, root: string])[];
  /** Whether a checkpoint was being published when the process was killed. */
  readonly publishing: boolean;
  readonly complaint: string;
}

/** When a writer is killed. */
interface Moment {
  readonly from: "start" | "opened" | "checkpoint";
  readonly ms: number;
}

export class WriterProcess {
  readonly #child: ChildProcess;
  readonly #loaded: Promise<void>;
  #output = "";
  #complaint = "";

  constructor(driver: string, place: string) {
    const options = ["--disable-warning=ExperimentalWarning", WRITER, driver, place];
    this.#child = spawn(process.execPath, options, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdout?.setEncoding("utf8");
    this.#child.stderr?.on("data", (text) => {
      this.#complaint += text;
    });
    this.#loaded = new Promise((resolve, reject) => {
      this.#child.once("exit", () => reject(new Error(`The writer ended early: ${this.#complaint}`)));
      this.#child.stdout?.on("data", (text: string) => {
        this.#output += text;
        if (this.#output.startsWith("loaded\n")) resolve();
      });
    });
    this.#loaded.catch(() => {});
  }

  /** Sets it going, kills it `ms` after it began, had the log open or a checkpoint published, and says all that it was promised. */
  async liveFor(life: string, { ms, from }: Moment): Promise<Promises> {
    await this.#loaded;
    const closed = once(this.#child, "close");
    this.#child.stdin?.write(`${life}\n`);
    await this.hasSaid(from);
    await sleep(ms);
    this.#child.kill("SIGKILL");
    await closed;
    return promisesOf(this.#output, this.#complaint);
  }

  /** Resolves when it has come so far, or has ended. */
  async hasSaid(moment: Moment["from"]): Promise<void> {
    const said = (): boolean => moment === "start" || this.#output.includes(`\n${moment} `);
    while (!said() && this.#child.exitCode === null) await sleep(1);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }
}

function promisesOf(output: string, complaint: string): Promises {
  // A line without its end was not said.
  const lines = output.split("\n").slice(0, -1);
  const entries: [number, string][] = [];
  const checkpoints: [number, string][] = [];
  let publishing = false;
  for (const line of lines) {
    const [kind, number, rest = ""] = line.split(" ");
    if (kind === "entry") entries.push([Number(number), rest]);
    if (kind === "publishing") publishing = true;
    if (kind !== "checkpoint") continue;
    checkpoints.push([Number(number), rest]);
    publishing = false;
  }
  const opened = lines.some((line) => line.startsWith("opened "));
  return { opened, entries, checkpoints, publishing, complaint };
}
