/**
 * `kill -9` of several writers at once, and of PostgreSQL under them. `npm run test:crash` kills 500 writers and the server 100
 * times; CLAW_CRASH_FOLDER as in kill.test.ts.
 */

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { campaignFolder, keepTally, readTally } from "./kill/progress.ts";
import { killSeveral, type SeveralTally, WRITERS } from "./kill/several.ts";
import { PostgresServer, postgresHere } from "./postgres-server.ts";

const noPostgres = postgresHere ? "" : " (skipped: needs PostgreSQL)";
const KILLS = Number(process.env["CLAW_CRASH_KILLS"] ?? 15);
const SERVER_KILLS = Math.max(5, KILLS / 5);
const ROUNDS_PER_LOG = 10;

describe.skipIf(!postgresHere)(`PostgreSQL${noPostgres}`, () => {
  const folder = campaignFolder();
  let server: PostgresServer;

  beforeAll(async () => {
    server = new PostgresServer();
    await server.start();
  }, 120_000);
  afterAll(() => server?.remove());

  test.each([
    { victim: "writers", rounds: Math.ceil(KILLS / WRITERS) },
    { victim: "servers", rounds: SERVER_KILLS },
  ])(
    "loses and doubles nothing that was acknowledged when $victim are killed in $rounds rounds",
    {
      timeout: 120_000 + KILLS * 4000,
    },
    async ({ victim, rounds }) => {
      const killServer = victim === "servers";
      const name = `postgres-${victim}`;
      const tally = readTally<SeveralTally>(folder, name, {
        rounds: 0,
        acknowledged: 0,
        checkpoints: 0,
        kills: 0,
        shared: 0,
      });
      while (tally.rounds < rounds) {
        const place = join(folder, `${name}-${tally.rounds}`);
        rmSync(place, { recursive: true, force: true });
        mkdirSync(place);
        const next = Math.min(ROUNDS_PER_LOG, rounds - tally.rounds);
        expect(await killSeveral({ server, place, rounds: next, killServer }, tally)).toEqual([]);
        rmSync(place, { recursive: true, force: true });
        keepTally(folder, name, tally);
      }
      console.info(`PostgreSQL, ${victim} killed: ${JSON.stringify(tally)}`);
      expect(tally.kills).toBeGreaterThanOrEqual(killServer ? rounds : KILLS);
      expect(tally.acknowledged).toBeGreaterThanOrEqual(rounds * 30);
      expect(tally.checkpoints).toBeGreaterThanOrEqual(rounds);
      expect(tally.shared).toBeGreaterThanOrEqual(rounds / 2);
    },
  );
});
