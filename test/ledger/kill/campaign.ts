/** I/O: kills writers of one log at random moments, again and again, and checks each time what is left. */

import { join } from "node:path";
import { Log } from "../../../src/ledger/mod.ts";
import { openStorage } from "./storages.ts";
import { WitnessedLog } from "./witnessed-log.ts";
import { WriterProcess } from "./writer-process.ts";

/** A writer lives this long at most, counted from a moment that each third of the lives has in common. */
const LIFE_MS_MAX = 150;
const MOMENTS = ["start", "opened", "checkpoint"] as const;

export interface Tally {
  kills: number;
  acknowledged: number;
  checkpoints: number;
  /** Killed before the log was open. */
  whileOpening: number;
  /** Killed between the beginning of a checkpoint's publishing and its end. */
  whilePublishing: number;
}

export function emptyTally(): Tally {
  return { kills: 0, acknowledged: 0, checkpoints: 0, whileOpening: 0, whilePublishing: 0 };
}

/** Kills `kills` writers of one log; faults found, none if all is well. `chance` draws from [0, 1). */
export async function killWriters(
  { driver, place, kills }: { readonly driver: string; readonly place: string; readonly kills: number },
  chance: () => number,
  tally: Tally,
): Promise<string[]> {
  const known = new WitnessedLog();
  const faults: string[] = [];
  let next = new WriterProcess(driver, place);
  try {
    for (let life = 0; life < kills && faults.length === 0; life++) {
      const writer = next;
      // Loading takes longer than a life: the next one does it meanwhile.
      next = new WriterProcess(driver, place);
      const from = MOMENTS[life % MOMENTS.length] ?? "start";
      const promises = await writer.liveFor(`${life}`, { from, ms: chance() * LIFE_MS_MAX });
      if (promises.complaint !== "") faults.push(promises.complaint);
      faults.push(...known.note(promises));
      await known.continues(driver, place);
      tally.kills++;
      if (!promises.opened) tally.whileOpening++;
      if (promises.publishing) tally.whilePublishing++;
    }
  } finally {
    await next.kill();
  }
  const { storage, keys } = openStorage(driver, place);
  const log = await Log.open({ storage, ...keys });
  faults.push(...(await known.faults(storage)));
  await log.close();
  tally.acknowledged += known.acknowledged;
  tally.checkpoints += known.checkpoints;
  return faults.map((fault) => `${join(driver, place)}: ${fault}`);
}
