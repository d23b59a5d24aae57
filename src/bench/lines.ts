/** I/O: a program that is asked in lines and answers in lines of JSON. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { ClawError } from "../base/mod.ts";

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

export class LineProgram {
  readonly #child: Child;
  readonly #lines: AsyncIterator<string>;
  #said = "";

  /** Starts a script with our own Node. */
  constructor(script: string, args: readonly string[]) {
    this.#child = spawn(process.execPath, [script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#said = text;
    });
    // A child that is gone is noticed when its next line does not come.
    this.#child.stdin.on("error", () => {});
    this.#child.on("error", () => {});
  }

  /** The next line, parsed. Errors: E_PEER when the program ends without one. */
  async answer(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done !== true) return JSON.parse(line.value);
    const reason = this.#said.trim().split("\n").at(-1) ?? "";
    throw new ClawError(
      "E_PEER",
      `The peer ended before it answered${reason === "" ? "" : `: ${reason.replace(/\.$/, "")}`}.`,
    );
  }

  /** Sends a line and waits for the answer. Errors: E_PEER. */
  ask(line: string): Promise<unknown> {
    this.#child.stdin.write(`${line}\n`);
    return this.answer();
  }

  /** Lets the program end. */
  close(): void {
    this.#child.stdin.end();
  }
}
