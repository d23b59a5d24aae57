/** I/O: the page that measurements are recorded on, below the folder the command is started in. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ClawError } from "../base/mod.ts";
import { type Measured, recordSection } from "../bench/mod.ts";
import { nativeInfo } from "../kernels/mod.ts";
import { readMachine } from "./machine.ts";
import { formatBytes } from "./numbers.ts";

export const RECORD: string = join("bench", "results.md");

interface Recording {
  readonly commandLine: string;
  readonly figures: readonly (readonly [string, string])[];
}

/** Puts a measurement's section on the page, in place of an older one. Errors: E_FILE. */
export function record(measured: Measured, recording: Recording): void {
  const date = new Date().toISOString();
  const page = recordSection(recorded(), measured, { ...recording, date, machine: describeMachine() });
  try {
    mkdirSync(dirname(RECORD), { recursive: true });
    writeFileSync(RECORD, page);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot write ${RECORD}: ${reason}.`, { cause: error });
  }
}

/** The processor, cores and memory, in a phrase. */
export function describeMachine(): string {
  const { cpu, memory } = readMachine();
  return `${nativeInfo()?.cpu ?? cpu.model}, ${cpu.usable} usable cores, ${formatBytes(memory.total)} of memory`;
}

function recorded(): string {
  try {
    return readFileSync(RECORD, "utf8");
  } catch {
    return ""; // the first measurement that is recorded
  }
}

/** `--name value` of those that were given, for the command that repeats a measurement. */
export function givenFlags(flags: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return given.map(([flag, value]) => `--${flag} ${value}`).join(" ");
}
