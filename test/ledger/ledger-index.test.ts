/** The index of the ledger: equal to a search of the whole log, over restarts, and after every kind of damage. */

import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fromUtf8, NOTE_KEY, noteVerifier, utf8 } from "../../src/crypto/mod.ts";
import {
  FileStorage,
  type IndexKeys,
  LedgerIndex,
  Log,
  readOrMakeKey,
  type SigningKey,
  signingKey,
} from "../../src/ledger/mod.ts";
import { CrashDisk } from "./crash-disk.ts";

const ORIGIN = "ledger.example/indexed";

let folder: string;
let key: SigningKey;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-index-"));
  const privateKey = readOrMakeKey(join(folder, "key"), NOTE_KEY.ED25519);
  key = signingKey(privateKey, { name: ORIGIN, type: NOTE_KEY.ED25519, now: () => 0 });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function openLog(): Promise<Log> {
  const storage = new FileStorage(new CrashDisk(() => 0));
  return Log.open({ storage, origin: ORIGIN, signers: [key], verifiers: [noteVerifier(key.vkey)] });
}

const keysOf = (entry: Uint8Array): IndexKeys => JSON.parse(fromUtf8(entry)) as IndexKeys;
const openIndex = (log: Log, name: string): Promise<LedgerIndex> =>
  LedgerIndex.open({ path: join(folder, name), log, keysOf });

test("finds what a search of the whole log finds, also across restarts and entries not yet published", async () => {
  let found = 0;
  const keys = fc.record(
    {
      requestId: fc.integer({ min: 0, max: 40 }).map((id) => `req-${id}`),
      time: fc.integer({ min: 0, max: 500 }),
      revocationIds: fc.uniqueArray(fc.constantFrom("a", "b", "c"), { maxLength: 3 }),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(keys, { minLength: 10, maxLength: 300, size: "max" }), {
        minLength: 1,
        maxLength: 4,
      }),
      async (parts) => {
        const [log, name] = [await openLog(), `property-${found}`];
        const all: IndexKeys[] = [];
        for (const part of parts) {
          await Promise.all(part.map((each) => log.add(utf8(JSON.stringify(each)))));
          all.push(...part);
          if (part.length % 2 === 0) await log.publish();
          const index = await openIndex(log, name);
          const where = (test: (keys: IndexKeys) => boolean): number[] =>
            all.flatMap((each, i) => (test(each) ? [i] : []));
          const request = await index.find("req-7");
          expect(request).toEqual(where(({ requestId }) => requestId === "req-7"));
          const times = await index.between(100, 200);
          expect(times.sort((a, b) => a - b)).toEqual(where(({ time = -1 }) => time >= 100 && time < 200));
          expect(await index.withRevocationId("b")).toEqual(
            where(({ revocationIds = [] }) => revocationIds.includes("b")),
          );
          found += 1 + request.length + times.length;
          index.close();
        }
        rmSync(join(folder, name), { force: true });
      },
    ),
    { numRuns: 20 },
  );
  expect(found).toBeGreaterThan(500);
});

test("is made anew when it is missing, damaged, of another log or ahead of the log", async () => {
  const log = await openLog();
  const add = (to: Log, name: string): Promise<unknown> =>
    Promise.all(
      Array.from({ length: 600 }, (_, i) => to.add(utf8(JSON.stringify({ requestId: `${name}-${i}` })))),
    );
  await add(log, "first");
  await log.publish();
  const path = join(folder, "damaged");
  const check = async (of: Log, request: string, place: number[]): Promise<void> => {
    const index = await openIndex(of, "damaged");
    expect(await index.find(request)).toEqual(place);
    index.close();
  };
  await check(log, "first-599", [599]);
  for (const damage of [
    (): void => rmSync(path),
    (): void => writeFileSync(path, "no database at all, but long enough to look like one".repeat(100)),
    (): void => truncateSync(path, 5000),
    // Pages behind the first: the database opens, and searching it fails.
    (): void => writeFileSync(path, readFileSync(path).fill(0x5a, 4096)),
  ]) {
    damage();
    await check(log, "first-599", [599]);
  }
  const other = await openLog();
  await add(other, "second");
  await check(other, "first-599", []);
  await check(other, "second-3", [3]);
  await check(await openLog(), "second-3", []);
});

test("the log hands out its entries from bundles and from memory, and no others", async () => {
  const log = await openLog();
  await Promise.all(Array.from({ length: 700 }, (_, i) => log.add(utf8(`${i}`))));
  await log.publish();
  await log.add(utf8("700"));
  const texts = (await log.entries(200, 701)).map(fromUtf8);
  expect(texts).toEqual(Array.from({ length: 501 }, (_, i) => `${200 + i}`));
  expect(await log.entries(5, 5)).toEqual([]);
  await expect(log.entries(700, 702)).rejects.toMatchObject({ code: "E_PARAMETER" });
});
