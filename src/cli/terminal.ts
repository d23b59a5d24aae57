/** I/O: what the command line prints: results on standard output, everything else on standard error. */

import { readFileSync } from "node:fs";
import type { ClawError } from "../base/mod.ts";

const manifest = new URL("../../package.json", import.meta.url);

export function version(): string {
  return (JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string }).version;
}

/** Writes to standard output; resolves when more may be written. */
export function print(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

export function printJson(value: unknown): Promise<void> {
  return print(`${JSON.stringify(value)}\n`);
}

/** Tells the person at the terminal something, in one line. */
export function note(text: string): void {
  process.stderr.write(`claw: ${text}\n`);
}

/** The message, its remedy, and (only for whoever asks with CLAW_DEBUG=1) the stack. */
export function noteError(error: ClawError): void {
  note(`${error.message} ${error.remedy}`);
  if (process.env["CLAW_DEBUG"] !== "1") return;
  process.stderr.write(`${error.stack ?? ""}\n`);
  if (error.cause instanceof Error) process.stderr.write(`${error.cause.stack ?? ""}\n`);
}

/** Shows a fraction as it grows, in one line that the next one overwrites; only to a person, or when asked to. */
export function progressLine(what: string, always = false): (fraction: number) => void {
  const { isTTY } = process.stderr;
  let shown = -1;
  return (fraction) => {
    const percent = Math.floor(fraction * 100);
    if (percent === shown || !(isTTY || always)) return;
    shown = percent;
    if (isTTY) process.stderr.write(`\r${what} ${percent} %${percent === 100 ? "\r\x1b[K" : ""}`);
    else if (percent % 10 === 0) note(`${what} ${percent} %`);
  };
}

/** Shows a line that the next one overwrites, and takes the last one away; only to a person. */
export function liveLine(): (text: string, last: boolean) => void {
  return (text, last) => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r\x1b[K${last ? "" : text.slice(0, process.stderr.columns)}`);
  };
}

/** A reader that went away, as `head` does, is no error: there is nobody left to tell. */
export function leaveWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : 1);
  });
}
