/** I/O: several writers of one log in PostgreSQL at once, all killed, or the server killed under them. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Log } from "../../../src/ledger/mod.ts";
import type { PostgresServer } from "../postgres-server.ts";
import { openStorage } from "./storages.ts";
import { WitnessedLog } from "./witnessed-log.ts";
import { WriterProcess } from "./writer-process.ts";

/** Writers of a log at once. */
export const WRITERS = 3;
const LIFE_MS_MAX = 250;

interface Campaign {
  readonly server: PostgresServer;
  /** An empty folder for the log's key. */
  readonly place: string;
  readonly rounds: number;
  /** Whether the server is killed rather than the writers. */
  readonly killServer: boolean;
}

export interface SeveralTally {
  rounds: number;
  acknowledged: number;
  checkpoints: number;
  kills: number;
  /** Rounds in which at least two writers had entries acknowledged. */
  shared: number;
}

/** Faults found, none if all is well. */
export async function killSeveral(
  { server, place, rounds, killServer }: Campaign,
  tally: SeveralTally,
): Promise<string[]> {
  const known = new WitnessedLog();
  const faults: string[] = [];
  writeFileSync(join(place, "url"), server.url);
  await openStorage("postgres", place).storage.close(); // the key is there before several would make it
  for (let round = 0; round < rounds && faults.length === 0; round++) {
    const writers = Array.from({ length: WRITERS }, () => new WriterProcess("postgres", place));
    const lives = writers.map((writer, i) => {
      const ms = Math.random() * LIFE_MS_MAX + (killServer ? 2 * LIFE_MS_MAX : 0);
      return writer.liveFor(`${round}-${i}`, { from: "checkpoint", ms });
    });
    if (killServer) {
      await Promise.all(writers.map((writer) => writer.hasSaid("checkpoint")));
      await sleep(Math.random() * LIFE_MS_MAX);
      await server.kill();
    }
    const promises = await Promise.all(lives);
    if (killServer) await server.start();
    for (const each of promises) {
      // A writer whose server has gone says so, and that is right.
      if (each.complaint !== "" && !(killServer && each.complaint.includes("E_LEDGER")))
        faults.push(each.complaint);
      faults.push(...known.note(each));
    }
    await known.continues("postgres", place);
    tally.rounds++;
    tally.kills += killServer ? 1 : WRITERS;
    if (promises.filter(({ entries }) => entries.length > 0).length >= 2) tally.shared++;
  }
  const { storage, keys } = openStorage("postgres", place);
  const log = await Log.open({ storage, ...keys });
  faults.push(...(await known.faults(storage)));
  await log.close();
  tally.acknowledged += known.acknowledged;
  tally.checkpoints += known.checkpoints;
  return faults;
}
