/**
 * I/O: what a campaign of kills has come to, kept in a folder: with CLAW_CRASH_FOLDER an interrupted run goes on where it stopped.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A folder for a campaign's logs and tallies; gone afterwards unless it was named. */
export function campaignFolder(): string {
  const kept = process.env["CLAW_CRASH_FOLDER"];
  const folder = kept ?? mkdtempSync(join(tmpdir(), "claw-kill-"));
  mkdirSync(folder, { recursive: true });
  afterAll(() => {
    if (kept === undefined) rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** The tally of a campaign, as far as it has come. */
export function readTally<T extends object>(folder: string, name: string, empty: T): T {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as T;
  } catch {
    return empty;
  }
}

export function keepTally(folder: string, name: string, tally: object): void {
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(tally));
}
