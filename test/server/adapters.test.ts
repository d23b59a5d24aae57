/** Adapters served beside a model: as models of their own, with tokens that may use them, in the ledger, and replayed. */

import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startServer } from "../../src/app.ts";
import { Archive, findEntries } from "../../src/audit/mod.ts";
import { mint, TokenFolder } from "../../src/capability/mod.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { openModelFile, type StoredAdapter } from "../../src/model/mod.ts";
import { claw } from "../cli/claw.ts";
import { randomAdapter } from "../engine/random-adapter.ts";
import { makeHome, makeTinyModel, removeHome, type Service, serveDefaults, startService } from "./service.ts";

let home: string;
let model: string;
let service: Service;
let ledger: string;
let folder: TokenFolder;
let stored: Readonly<Record<"one" | "two", StoredAdapter>>;

beforeAll(async () => {
  home = makeHome();
  model = makeTinyModel(home);
  ledger = join(home, "ledger");
  folder = new TokenFolder(join(home, "state", "openclaw", "tokens"));
  await folder.rotate();
  const { description, close } = openModelFile(model);
  stored = {
    one: randomAdapter(join(home, "one"), description, { rank: 4, seed: 1 }),
    two: randomAdapter(join(home, "two"), description, { rank: 9, seed: 2 }),
  };
  close();
  service = await startService(model, {
    adapters: ["one", "two"].map((name) => ({ name, folder: join(home, name) })),
    ledgerFolder: ledger,
    format: "i8",
    device: nativeAvailable() ? "native" : "reference",
  });
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

const names = ["tiny", "tiny:one", "tiny:two"];
const question = (name: string, seed: number) => ({
  ...{ model: name, prompt: Array.from({ length: 40 }, (_, i) => 5 + i), max_tokens: 16, seed },
  ignore_eos: true,
});

async function answer(name: string, seed: number, client = service.client) {
  const said = await client.completions.create(question(name, seed));
  const { openclaw } = said as unknown as { openclaw: { records: readonly { entry: number }[] } };
  const entry = openclaw.records[0]?.entry ?? -1;
  return { text: said.choices[0]?.text, fingerprint: said.system_fingerprint, model: said.model, entry };
}

test("each has an id of its own, which names the model as its parent", async () => {
  const { data } = await service.client.models.list();
  expect(data.map(({ id }) => id)).toEqual(names);
  expect(await service.client.models.retrieve("tiny:two")).toMatchObject({ object: "model", parent: "tiny" });
  await expect(service.client.models.retrieve("tiny:three")).rejects.toMatchObject({ status: 404 });
  await expect(answer("tiny:three", 1)).rejects.toMatchObject({ status: 404, code: "E_MODEL_NOT_FOUND" });
});

test("answers together are those of each alone, and say what made them", async () => {
  const asked = Array.from({ length: 12 }, (_, i) => ({
    name: names[i % 3] as string,
    seed: Math.floor(i / 3),
  }));
  const alone = [];
  for (const { name, seed } of asked) alone.push((await answer(name, seed)).text);
  const together = await Promise.all(asked.map(({ name, seed }) => answer(name, seed)));
  expect(together.map(({ text }) => text)).toEqual(alone);
  expect(new Set(alone.slice(0, 3)).size).toBe(3);
  expect(together.map((each) => each.model)).toEqual(asked.map(({ name }) => name));
  const [base, one] = together.map(({ fingerprint }) => fingerprint);
  expect(one).toBe(`${base}-lora_${stored.one.digest.slice(0, 16)}`);
}, 240_000);

describe("capability tokens", () => {
  async function tokenClient(models: readonly string[], adapters: readonly string[]): Promise<OpenAI> {
    const grant = { endpoints: ["/v1/completions"], models, adapters, tools: [] };
    const apiKey = await mint(folder.signingKey(), { tenant: "team", inference: [grant] }, {});
    return new OpenAI({ baseURL: `${service.server.url}/v1`, apiKey, maxRetries: 0 });
  }
  const refused = { status: 403, code: "E_CAPABILITY" };

  test("open the adapters that they grant, with their model, and no others", async () => {
    const none = await tokenClient(["tiny"], []);
    await answer("tiny", 1, none);
    await expect(answer("tiny:one", 1, none)).rejects.toMatchObject(refused);
    const one = await tokenClient(["tiny"], ["one"]);
    await answer("tiny", 1, one);
    await answer("tiny:one", 1, one);
    await expect(answer("tiny:two", 1, one)).rejects.toMatchObject(refused);
    const all = await tokenClient(["tiny"], ["*"]);
    await answer("tiny:two", 1, all);
    const only = await tokenClient(["tiny:one"], ["*"]);
    await answer("tiny:one", 1, only);
    await expect(answer("tiny", 1, only)).rejects.toMatchObject(refused);
    await expect(answer("tiny:two", 1, only)).rejects.toMatchObject(refused);
  });
});

test("entries name the adapter, and an answer is replayed with it and with no other", async () => {
  const [base, two] = [await answer("tiny", 9), await answer("tiny:two", 9)];
  const archive = await Archive.open(ledger);
  expect((await archive.state(base.entry)).statement.adapter).toBeUndefined();
  expect((await archive.state(two.entry)).statement.adapter).toBe(stored.two.digest);
  const where = ["--ledger", ledger, "--model", model, "--json"];
  const given = (name: string): string[] => ["--adapter", `${name}=${join(home, name)}`];
  const replayed = async (entry: number, ...more: string[]) =>
    claw(["audit", "replay", String(entry), ...where, ...more]);
  const good = await replayed(two.entry, ...given("one"), ...given("two"));
  expect(JSON.parse(good.stdout)).toMatchObject({ same: true, tokens: 16 });
  const wrong = await replayed(two.entry, ...given("one"));
  expect(wrong.status).toBe(1);
  expect(wrong.stderr).toContain(`those given are ${stored.one.digest}`);
  expect((await replayed(two.entry)).stderr).toContain("--adapter NAME=FOLDER");
}, 120_000);

test("the entries of a capability token are found by its revocation id", async () => {
  const archive = await Archive.open(ledger);
  const made = new Map<string, number[]>();
  for (let index = 0; index < archive.size; index++) {
    const entry = await archive.entry(index);
    if (entry.kind === "progress") continue;
    for (const id of entry.revocations) made.set(id, [...(made.get(id) ?? []), index]);
  }
  expect(made.size).toBeGreaterThanOrEqual(4);
  for (const [revocation, entries] of made) {
    const found = await findEntries(ledger, archive, { revocation });
    expect(found.map(({ index }) => index)).toEqual(entries);
  }
});

describe("a server does not start", () => {
  const start = (more: object): Promise<unknown> => {
    const layers = { file: {}, flag: { ...serveDefaults, ...more } };
    const listeners = { version: "0.0.0", onProgress: () => {}, log: { write: () => {} } };
    return startServer(model, { file: undefined, layers }, listeners).then(async (server) => {
      await server.ready.finally(() => server.close(0));
    });
  };
  const one = { name: "one", folder: "" };

  test("with two adapters of one name, or one that is not there", async () => {
    await expect(start({ adapters: [one, one] })).rejects.toMatchObject({ code: "E_CONFIG" });
    const missing = { name: "none", folder: join(home, "none") };
    await expect(start({ adapters: [missing] })).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("with an adapter where only sealed models are served", async () => {
    const sealTrust = [{ keyFile: join(home, "none.pub"), model: "*", root: undefined }];
    await expect(start({ adapters: [one], sealTrust })).rejects.toMatchObject({ code: "E_UNSEALED" });
  });
});
