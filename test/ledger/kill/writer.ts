/**
 * A process that appends to a real log and says on its standard output what it was promised, until it is killed. It loads
 * everything, says so, and begins when a line with its life's number comes.
 */

import { once } from "node:events";
import { createInterface } from "node:readline";
import { setImmediate as breathe } from "node:timers/promises";
import { toHex, utf8 } from "../../../src/crypto/mod.ts";
import { Log } from "../../../src/ledger/mod.ts";
import { openStorage } from "./storages.ts";

const CLIENTS = 24;

const [driver = "", place = ""] = process.argv.slice(2);
const { storage, keys } = openStorage(driver, place);
say("loaded");
const [life] = (await once(createInterface({ input: process.stdin }), "line")) as [string];
const log = await Log.open({ storage, ...keys });
say(`opened ${log.size}`);
await Promise.all([publish(), ...Array.from({ length: CLIENTS }, (_, client) => append(client))]);

async function append(client: number): Promise<void> {
  for (let i = 0; ; i++) {
    const text = `${life}:${client}:${i}:${"x".repeat((client * 97 + i * 31) % 1200)}`;
    const { index } = await log.add(utf8(text));
    say(`entry ${index} ${text}`);
  }
}

async function publish(): Promise<void> {
  for (;;) {
    await breathe();
    say("publishing");
    await log.publish();
    say(`checkpoint ${log.checkpoint.size} ${toHex(log.checkpoint.root)}`);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
