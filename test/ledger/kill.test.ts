/**
 * `kill -9` of real processes that append to a log on the real file system. `npm run test:crash` kills 500; an unfinished run
 * goes on where it stopped when CLAW_CRASH_FOLDER names the folder it keeps.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { emptyTally, killWriters, type Tally } from "./kill/campaign.ts";

const KILLS = Number(process.env["CLAW_CRASH_KILLS"] ?? 25);
const KILLS_PER_LOG = 25;
const TIMEOUT_MS = 30_000 + KILLS * 2000;

const kept = process.env["CLAW_CRASH_FOLDER"];
const folder = kept ?? mkdtempSync(join(tmpdir(), "claw-kill-"));

afterAll(() => {
  if (kept === undefined) rmSync(folder, { recursive: true, force: true });
});

test(`files: ${KILLS} kills at random moments lose and double nothing that was acknowledged`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const tally = readProgress();
  while (tally.kills < KILLS) {
    const place = join(folder, `files-${tally.kills}`);
    rmSync(place, { recursive: true, force: true }); // an unfinished one
    const kills = Math.min(KILLS_PER_LOG, KILLS - tally.kills);
    expect(await killWriters({ driver: "files", place, kills }, Math.random, tally)).toEqual([]);
    rmSync(place, { recursive: true, force: true });
    writeFileSync(join(folder, "files.json"), JSON.stringify(tally));
  }
  console.info(`files: ${JSON.stringify(tally)}`);
  expect(tally.acknowledged).toBeGreaterThanOrEqual(KILLS * 10);
  expect(tally.checkpoints).toBeGreaterThanOrEqual(KILLS / 5);
  expect(tally.whilePublishing).toBeGreaterThanOrEqual(KILLS / 10);
});

function readProgress(): Tally {
  mkdirSync(folder, { recursive: true });
  try {
    return JSON.parse(readFileSync(join(folder, "files.json"), "utf8")) as Tally;
  } catch {
    return emptyTally();
  }
}
