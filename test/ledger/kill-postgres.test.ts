/** `kill -9` of several writers at once, and of PostgreSQL under them. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { killSeveral, type SeveralTally } from "./kill/several.ts";
import { PostgresServer, postgresHere } from "./postgres-server.ts";

const noPostgres = postgresHere ? "" : " (skipped: needs PostgreSQL)";
const ROUNDS = Number(process.env["CLAW_CRASH_KILLS"] ?? 15) / 3;

describe.skipIf(!postgresHere)(`PostgreSQL${noPostgres}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "claw-kill-pg-"));
  let server: PostgresServer;

  beforeAll(async () => {
    server = new PostgresServer();
    await server.start();
  }, 120_000);
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([false, true])(
    "loses and doubles nothing that was acknowledged; the server is killed: %s",
    {
      timeout: 120_000 + ROUNDS * 10_000,
    },
    async (killServer) => {
      const tally: SeveralTally = { acknowledged: 0, checkpoints: 0, kills: 0, shared: 0 };
      const place = mkdtempSync(join(folder, "log-"));
      expect(await killSeveral({ server, place, rounds: ROUNDS, killServer }, tally)).toEqual([]);
      console.info(`PostgreSQL, ${killServer ? "server" : "writers"} killed: ${JSON.stringify(tally)}`);
      expect(tally.acknowledged).toBeGreaterThanOrEqual(ROUNDS * 30);
      expect(tally.checkpoints).toBeGreaterThanOrEqual(ROUNDS);
      expect(tally.shared).toBeGreaterThanOrEqual(ROUNDS / 2);
    },
  );
});
