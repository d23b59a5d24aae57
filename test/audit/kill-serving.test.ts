/** `kill -9` of a real server while clients stream, again and again over one ledger. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { makeFolder, makeTinyModel } from "../cli/claw.ts";
import { auditedSize, entriesOf, missing } from "./recorded.ts";
import { ServeProcess } from "./serve-process.ts";
import { StreamClients, type Streamed } from "./stream-clients.ts";

/** Kills that fall into running streams; `npm run test:crash` asks for more. */
const KILLS = Math.max(10, Math.round(Number(process.env["CLAW_CRASH_KILLS"] ?? 0) / 10));
const LIVES_MAX = 4 * KILLS;
/** Tokens of the answers of each client: some end before the kill. */
const LENGTHS = [900, 900, 100, 20];
/** A server lives this long at most once an answer has ended. */
const LIFE_MS_MAX = 250;

test(`${KILLS} kills of a server in the middle of streams lose nothing that a client was told or given`, {
  timeout: 60_000 + KILLS * 15_000,
}, async () => {
  const folder = makeFolder();
  const model = makeTinyModel(folder);
  const ledger = join(folder, "ledger");
  const known: Streamed[] = [];
  const tally = { lives: 0, kills: 0, cutOff: 0, acknowledged: 0, tokens: 0 };
  while (tally.kills < KILLS && tally.lives < LIVES_MAX) {
    const server = await ServeProcess.start({ model, ledger });
    const clients = new StreamClients(server.url, {
      name: `life-${tally.lives++}`,
      lengths: LENGTHS,
    });
    while (!clients.streams.some(({ record }) => record !== undefined)) await sleep(1);
    await sleep(Math.random() * LIFE_MS_MAX);
    await server.kill();
    await clients.end();
    known.push(...clients.streams);
    const cutOff = clients.cutOff.length;
    tally.cutOff += cutOff;
    if (cutOff > 0) tally.kills++;
    expect(missing(await entriesOf(ledger), known)).toEqual([]);
  }
  tally.acknowledged = known.filter(({ record }) => record !== undefined).length;
  tally.tokens = known.reduce((sum, { tokens }) => sum + tokens, 0);
  console.info(`serving: ${JSON.stringify(tally)}`);
  expect(tally.kills).toBe(KILLS);
  expect(tally.acknowledged).toBeGreaterThanOrEqual(KILLS);
  const last = await ServeProcess.start({ model, ledger });
  expect(await last.stop()).toBe(0);
  const entries = await entriesOf(ledger);
  expect(missing(entries, known)).toEqual([]);
  expect(await auditedSize(ledger)).toBe(entries.length);
});
