/**
 * `kill -9` of real processes that append to a log on the real file system. `npm run test:crash` kills 500; an unfinished run
 * goes on where it stopped when CLAW_CRASH_FOLDER names the folder it keeps.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { emptyTally, killWriters } from "./kill/campaign.ts";
import { campaignFolder, keepTally, readTally } from "./kill/progress.ts";

const KILLS = Number(process.env["CLAW_CRASH_KILLS"] ?? 25);
const KILLS_PER_LOG = 25;
const TIMEOUT_MS = 30_000 + KILLS * 2000;

const folder = campaignFolder();

test(`files: ${KILLS} kills at random moments lose and double nothing that was acknowledged`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const tally = readTally(folder, "files", emptyTally());
  while (tally.kills < KILLS) {
    const place = join(folder, `files-${tally.kills}`);
    rmSync(place, { recursive: true, force: true }); // an unfinished one
    const kills = Math.min(KILLS_PER_LOG, KILLS - tally.kills);
    expect(await killWriters({ driver: "files", place, kills }, Math.random, tally)).toEqual([]);
    rmSync(place, { recursive: true, force: true });
    keepTally(folder, "files", tally);
  }
  console.info(`files: ${JSON.stringify(tally)}`);
  expect(tally.acknowledged).toBeGreaterThanOrEqual(KILLS * 10);
  expect(tally.checkpoints).toBeGreaterThanOrEqual(KILLS / 5);
  expect(tally.whilePublishing).toBeGreaterThanOrEqual(KILLS / 10);
});
