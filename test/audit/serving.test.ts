/** A server that records its answers: what it tells of them, and receipts that stand without it. */

import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Vault } from "../../src/audit/vault.ts";
import { readVaultKey } from "../../src/audit/vault-key.ts";
import type { ApiKeyOptions } from "../../src/config/mod.ts";
import { noteVerifier } from "../../src/crypto/mod.ts";
import { ARITHMETIC_VERSION, nativeAvailable, nativeInfo } from "../../src/kernels/mod.ts";
import { auditLog, FolderDisk, storedInFiles } from "../../src/ledger/mod.ts";
import { verifyReceipt } from "../../src/records/mod.ts";
import { makeKeys, readPrivateKey, sealModel } from "../../src/seal/mod.ts";
import { claw } from "../cli/claw.ts";
import { makeHome, makeTinyModel, removeHome, type Service, startService, until } from "../server/service.ts";

interface Told {
  readonly records?: readonly {
    readonly choice: number;
    readonly entry: number;
    readonly leaf_hash: string;
  }[];
}
interface Answer {
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string | null;
  }[];
  readonly openclaw: Told;
}

let home: string;
let model: string;
let service: Service | undefined;
let ledgers = 0;

beforeAll(() => {
  home = makeHome();
  model = makeTinyModel(home);
});
afterEach(async () => {
  await service?.server.close(0);
  service = undefined;
});
afterAll(() => removeHome(home));

const otherKey = "another-tenants-key";
const other: ApiKeyOptions = {
  keySha256: createHash("sha256").update(otherKey).digest("hex"),
  keyFile: undefined,
  tenant: "other",
  scopes: ["inference"],
  priorityMin: 0,
};

async function start(folder = join(home, `ledger-${ledgers++}`)): Promise<{ folder: string; it: Service }> {
  service = await startService(model, { ledgerFolder: folder, apiKeys: [other] });
  return { folder, it: service };
}

async function complete(it: Service, body: object): Promise<Answer> {
  const response = await it.post("/v1/completions", JSON.stringify({ model: "tiny", prompt: "a", ...body }));
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

function recordsOf({ openclaw }: Answer): NonNullable<Told["records"]> {
  return openclaw.records ?? [];
}

const publicKeys = (folder: string): string[] =>
  readFileSync(join(folder, "log.pub"), "utf8").trim().split("\n");

async function receipt(
  it: Service,
  id: number | string,
  key?: string,
): Promise<{ status: number; text: string }> {
  const authorization = `Bearer ${key ?? it.server.apiKey?.key}`;
  const response = await fetch(`${it.server.url}/v1/receipts/${id}`, { headers: { authorization } });
  return { status: response.status, text: await response.text() };
}

async function metrics(it: Service): Promise<string> {
  const headers = { authorization: `Bearer ${it.server.apiKey?.key}` };
  return await (await fetch(`${it.server.url}/metrics`, { headers })).text();
}

test("an answer says where it stands, and its receipt opens to its tokens for whoever has the log's key", async () => {
  const { folder, it } = await start();
  const answer = await complete(it, { n: 3, max_tokens: 70, temperature: 0.9, seed: 11 });
  const records = recordsOf(answer);
  expect(records.map(({ choice }) => choice)).toEqual([0, 1, 2]);
  expect(new Set(records.map(({ entry }) => entry)).size).toBe(3);
  for (const { choice, entry, leaf_hash } of records) {
    const { status, text } = await receipt(it, entry);
    expect(status).toBe(200);
    const verified = verifyReceipt(text, { keys: publicKeys(folder) });
    expect(verified).toMatchObject({ index: entry, leaf: leaf_hash, opened: true, outputOpened: true });
    expect(verified.entry).toMatchObject({
      kind: "close",
      tenant: "owner",
      model: { source: "file-sha256", root: createHash("sha256").update(readFileSync(model)).digest("hex") },
      engine: { version: "0.0.0", format: "f16", kv_format: "f32", arithmetic: ARITHMETIC_VERSION },
      sampling: { seed: 11, choice, temperature: 0.9, max_tokens: 70 },
    });
    const file = join(folder, "receipt.json");
    writeFileSync(file, text);
    const args = ["receipt", "verify", file, "--key", join(folder, "log.pub"), "--json"];
    expect(JSON.parse((await claw(args)).stdout)).toMatchObject({ index: entry, opened: true });
    const [tokens] = [
      (JSON.parse(text) as { opening: { output: { tokens: number[] } } }).opening.output.tokens,
    ];
    const altered = text.replace(`[${tokens[0]},`, `[${(tokens[0] ?? 0) + 1},`);
    expect(altered).not.toBe(text);
    expect(() => verifyReceipt(altered, { keys: publicKeys(folder) })).toThrow("not those");
  }
  const again = await complete(it, { n: 3, max_tokens: 70, temperature: 0.9, seed: 11 });
  expect(again.choices).toEqual(answer.choices);
});

test("the last chunk of a stream says it, a stop string and a client that leaves close their stream", async () => {
  const { folder, it } = await start();
  const stream = await it.client.completions.create({
    model: "tiny",
    prompt: "once",
    max_tokens: 40,
    seed: 3,
    stream: true,
  });
  const told: Told[] = [];
  let whole = "";
  for await (const chunk of stream) {
    whole += chunk.choices[0]?.text ?? "";
    const { openclaw } = chunk as unknown as { openclaw: Told };
    if (openclaw.records !== undefined) {
      expect(chunk.choices[0]?.finish_reason).not.toBeNull();
      told.push(openclaw);
    }
  }
  expect(told).toHaveLength(1);
  const stop = whole.slice(5, 8);
  const stopped = await complete(it, { prompt: "once", max_tokens: 40, seed: 3, stop });
  const [record] = recordsOf(stopped);
  const verified = verifyReceipt((await receipt(it, record?.entry ?? -1)).text, { keys: publicKeys(folder) });
  expect(verified.entry).toMatchObject({ kind: "close", finish: "left" });
  const before = verified.log.size;

  const left = new AbortController();
  const leaving = await it.client.completions.create(
    { model: "tiny", prompt: "once", max_tokens: 100, seed: 4, stream: true },
    { signal: left.signal },
  );
  for await (const _ of leaving) break;
  left.abort();
  let last: object | undefined;
  for (let tries = 0; tries < 200 && last === undefined; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let index = before; index < before + 8; index++) {
      const { status, text } = await receipt(it, index);
      if (status !== 200) continue;
      const { entry } = verifyReceipt(text, { keys: publicKeys(folder) });
      if (entry.kind === "close" && entry.sampling.seed === 4) last = entry;
    }
  }
  expect(last).toMatchObject({ finish: "left" });
});

test("a receipt is for its tenant alone; nobody is told more of others'", async () => {
  const { it } = await start();
  const [record] = recordsOf(await complete(it, { max_tokens: 40, temperature: 0 }));
  const id = record?.entry ?? -1;
  expect(id).toBe(2); // after the open entry and one of progress
  expect((await receipt(it, id)).status).toBe(200);
  const refusals = await Promise.all([
    receipt(it, id, otherKey),
    receipt(it, 9_999_999, otherKey),
    receipt(it, 1), // a progress entry says not whose it is
    ...["-1", "1e3", "x", "007", "99999999999999999999"].map((each) => receipt(it, each)),
  ]);
  const message = (text: string): string => (JSON.parse(text) as { error: { code: string } }).error.code;
  for (const { status, text } of refusals) expect([status, message(text)]).toEqual([404, "E_NOT_FOUND"]);
  expect(refusals[0]?.text.replace(String(id), "9999999")).toBe(refusals[1]?.text);
  expect((await receipt(it, id, "no key")).status).toBe(401);
});

test("a record that is forgotten leaves its receipt and the log whole", async () => {
  const { folder, it } = await start();
  const [record] = recordsOf(await complete(it, { max_tokens: 5 }));
  const keys = publicKeys(folder);
  const before = verifyReceipt((await receipt(it, record?.entry ?? -1)).text, { keys });
  expect(before.opened).toBe(true);
  const vault = new Vault(join(folder, "vault"), readVaultKey(join(folder, "vault.key")));
  expect(await vault.forget(before.entry.stream)).toBe(true);
  const after = verifyReceipt((await receipt(it, record?.entry ?? -1)).text, { keys });
  expect(after).toEqual({ ...before, opened: false, outputOpened: false });
  await it.server.close(0);
  service = undefined;
  const audited = await auditLog(storedInFiles(new FolderDisk(join(folder, "log"))), keys.map(noteVerifier));
  expect(audited.signedBy).toHaveLength(2);
  expect(audited.size).toBe(after.log.size);
});

test("a ledger goes on after a restart, its times go forward, and a second server is refused", async () => {
  const { folder, it } = await start();
  const [first] = recordsOf(await complete(it, { max_tokens: 5 }));
  await expect(startService(model, { ledgerFolder: folder })).rejects.toMatchObject({ code: "E_LEDGER" });
  await it.server.close(0);
  const again = (await start(folder)).it;
  const [second] = recordsOf(await complete(again, { max_tokens: 5 }));
  const keys = publicKeys(folder);
  const entries = await Promise.all(
    [first, second].map(
      async (at) => verifyReceipt((await receipt(again, at?.entry ?? -1)).text, { keys }).entry,
    ),
  );
  expect(second?.entry).toBe((first?.entry ?? 0) + 2);
  expect(entries[1]?.time).toBeGreaterThanOrEqual(entries[0]?.time ?? Number.POSITIVE_INFINITY);
  const text = await metrics(again);
  expect(text).toMatch(/^claw:ledger_entries\{.*\} 4$/m);
  expect(text).toMatch(/^claw:ledger_writable\{.*\} 1$/m);
});

test("a ledger whose storage failed refuses answers, not receipts, and goes on where it was when it can be opened again", async () => {
  const { folder, it } = await start();
  const [first] = recordsOf(await complete(it, { max_tokens: 5 }));
  await it.server.close(0);
  const again = (await start(folder)).it;
  const [keys, journal] = [publicKeys(folder), join(folder, "log", "journal")];
  renameSync(journal, `${journal}-away`);
  writeFileSync(journal, "no folder");
  const ask = (): Promise<Response> => again.post("/v1/completions", '{"prompt": "a", "max_tokens": 5}');
  const refused = await ask();
  expect([refused.status, await refused.text()]).toEqual([503, expect.stringContaining("E_LEDGER")]);
  // What befell it, and two tries to open it that failed.
  const complaints = async (): Promise<number> =>
    again.log.filter(({ msg }) => msg === "The ledger cannot be written to.").length;
  expect(await until(complaints, (count) => count >= 3)).toBeDefined();
  expect((await ask()).status).toBe(503);
  expect(await metrics(again)).toMatch(/^claw:ledger_writable\{.*\} 0$/m);
  const kept = verifyReceipt((await receipt(again, first?.entry ?? -1)).text, { keys });
  expect(kept).toMatchObject({ index: first?.entry, opened: true });
  rmSync(journal);
  renameSync(`${journal}-away`, journal);
  const writable = (text: string): boolean => /^claw:ledger_writable\{.*\} 1$/m.test(text);
  expect(await until(() => metrics(again), writable)).toBeDefined();
  const [second] = recordsOf(await complete(again, { max_tokens: 5 }));
  // The one before, and an open entry of its own; nothing of those that were refused.
  expect(second?.entry).toBe((first?.entry ?? 0) + 2);
  const { entry, log } = verifyReceipt((await receipt(again, second?.entry ?? -1)).text, { keys });
  expect(entry.time).toBeGreaterThanOrEqual(kept.entry.time);
  await again.server.close(0);
  service = undefined;
  const audited = await auditLog(storedInFiles(new FolderDisk(join(folder, "log"))), keys.map(noteVerifier));
  expect(audited.size).toBe(log.size);
});

test("the entries of a model that was sealed name the root of its seal", async () => {
  const { privateKey, publicKey } = makeKeys(join(home, "release.pem"));
  const bundle = join(home, "tiny.sig");
  const { seal } = await sealModel(model, readPrivateKey(privateKey), { out: bundle });
  const folder = join(home, `ledger-${ledgers++}`);
  const sealTrust = [{ keyFile: publicKey, model: "*", root: undefined }];
  service = await startService(model, { ledgerFolder: folder, sealTrust, sealBundle: bundle });
  const [record] = recordsOf(await complete(service, { max_tokens: 5 }));
  const closing = record?.entry ?? -1;
  for (const [index, kind] of [
    [closing - 1, "open"],
    [closing, "close"],
  ] as const) {
    const { entry } = verifyReceipt((await receipt(service, index)).text, { keys: publicKeys(folder) });
    expect(entry).toMatchObject({ kind, model: { root: seal.root, source: "seal" } });
  }
});

test.skipIf(!nativeAvailable())("the version of the arithmetic is that of the native kernels", () => {
  expect(nativeInfo()?.packedVersion).toContain(`, arithmetic ${ARITHMETIC_VERSION},`);
});
