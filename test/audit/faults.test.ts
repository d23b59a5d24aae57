/** What befalls a real server that records: a disk that runs full, a clock that is set back. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { makeFolder, makeTinyModel } from "../cli/claw.ts";
import { auditedSize, entriesOf, missing } from "./recorded.ts";
import { scarceDisk } from "./scarce-disk.ts";
import { ServeProcess } from "./serve-process.ts";
import { StreamClients } from "./stream-clients.ts";

const folder = makeFolder();
const model = makeTinyModel(folder);

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await what()); await sleep(10)) {
    if (Date.now() > deadline) throw new Error(`It never came to be: ${what}`);
  }
}

test("a full disk refuses and breaks off answers with a code, loses nothing, and is written to again when there is room", {
  timeout: 300_000,
}, async () => {
  const disk = scarceDisk();
  onTestFinished(() => disk.remove());
  const ledger = join(disk.folder, "ledger");
  const server = await ServeProcess.start({ model, ledger });
  onTestFinished(() => server.kill());
  const clients = new StreamClients(server.url, { name: "client", lengths: [700, 700, 700, 700] });
  const { streams } = clients;
  const acknowledged = (): number => streams.filter(({ record }) => record !== undefined).length;
  const refused = (): number => streams.filter(({ refused }) => refused !== undefined).length;
  const broken = (): number =>
    streams.filter(({ tokens, broken }) => tokens > 0 && broken !== undefined).length;
  let fills = 0;
  for (; fills < 20 && (fills < 2 || broken() === 0 || refused() === 0); fills++) {
    const before = acknowledged();
    await until(() => acknowledged() >= before + 2);
    disk.fill(server.pid);
    await until(async () => (await server.metric("ledger_writable")) === 0);
    const [refusals, told] = [refused(), acknowledged()];
    await until(() => refused() >= refusals + 4);
    // What was acknowledged meanwhile was on its way when the disk ran full.
    expect(acknowledged()).toBeLessThanOrEqual(told + 4);
    disk.free(server.pid);
    await until(async () => (await server.metric("ledger_writable")) === 1);
  }
  const before = acknowledged();
  await until(() => acknowledged() >= before + 4);
  await clients.end();
  console.info(
    `${disk.how}: ${JSON.stringify({ fills, acknowledged: acknowledged(), refused: refused(), broken: broken() })}`,
  );
  expect(broken()).toBeGreaterThanOrEqual(1);
  const codes = new Set(streams.flatMap(({ refused = [], broken = [] }) => [refused, broken].flat()));
  expect([...codes]).toEqual(["E_LEDGER"]);
  expect(await server.stop()).toBe(0);
  const entries = await entriesOf(ledger);
  expect(missing(entries, streams)).toEqual([]);
  expect(await auditedSize(ledger)).toBe(entries.length);
});

test("a clock that is set back by an hour, also while the server does not run, leaves the entries' times going forward", {
  timeout: 120_000,
}, async () => {
  const ledger = join(folder, "set-back");
  const hour = 3_600_000;
  const env = { NODE_OPTIONS: `--import=${fileURLToPath(new URL("shifted-clock.mjs", import.meta.url))}` };
  const server = await ServeProcess.start({ model, ledger, env });
  onTestFinished(() => server.kill());
  const clients = new StreamClients(server.url, { name: "first", lengths: [40] });
  const { streams } = clients;
  await until(() => streams.filter(({ record }) => record).length >= 2);
  server.signal("SIGUSR2");
  const sent = streams.length;
  await until(() => streams.slice(sent).filter(({ record }) => record).length >= 2);
  await clients.end();
  expect(await server.stop()).toBe(0);
  const before = await entriesOf(ledger);

  const again = await ServeProcess.start({ model, ledger, env: { ...env, TEST_CLOCK_SHIFT_MS: `${-hour}` } });
  onTestFinished(() => again.kill());
  const later = new StreamClients(again.url, { name: "second", lengths: [40] });
  await until(() => later.streams.filter(({ record }) => record).length >= 2);
  await later.end();
  expect(await again.stop()).toBe(0);

  const entries = await entriesOf(ledger);
  expect(missing(entries, [...streams, ...later.streams])).toEqual([]);
  const times = entries.map(({ time }) => time);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  const drifts = (from: number, end?: number): number[] =>
    entries.slice(from, end).map(({ clock_drift = 0 }) => Math.round(clock_drift / hour));
  expect(drifts(0, 2)).toEqual([0, 0]);
  expect(drifts(before.length - 2, before.length)).toEqual([-1, -1]);
  // Started an hour behind the last entry, it goes on from there and says how far off its clock is.
  expect(new Set(drifts(before.length))).toEqual(new Set([-1]));
});
