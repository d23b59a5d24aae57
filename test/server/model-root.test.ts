/** Which root a served model has, and that capability tokens which name a model by its root open that one alone. */

import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { ServedRoot } from "../../src/app/mod.ts";
import { type RunningServer, startServer } from "../../src/app.ts";
import { attenuate, mint, TokenFolder } from "../../src/capability/mod.ts";
import type { ServeOptions } from "../../src/config/mod.ts";
import { makeKeys, readPrivateKey, sealModel } from "../../src/seal/mod.ts";
import { createLog } from "../../src/server/mod.ts";
import {
  type LogLine,
  makeHome,
  makeTinyModel,
  removeHome,
  serveDefaults,
  startService,
  tinyModelName,
} from "./service.ts";

const elsewhere = "ab".repeat(32);

let home: string;
let path: string;
let folder: TokenFolder;

beforeAll(async () => {
  home = makeHome();
  path = makeTinyModel(home);
  folder = new TokenFolder(join(home, "state", "openclaw", "tokens"));
  await folder.rotate();
});

afterAll(() => removeHome(home));

const digestOf = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

/** What a completion with a token comes to. */
async function asked(server: RunningServer, token: string): Promise<string> {
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: token, maxRetries: 0 });
  const request = { model: tinyModelName, prompt: [5, 6, 7], max_tokens: 1, seed: 1 };
  return client.completions.create(request).then(
    () => "answered",
    (error: { code: string }) => error.code,
  );
}

function minted(models: readonly string[]): Promise<string> {
  const grant = { endpoints: ["/v1/completions"], models, adapters: [], tools: [] };
  return mint(folder.signingKey(), { tenant: "team", inference: [grant] });
}

test("a token that names a model by the digest of its file opens it, and one that names another does not", async () => {
  const { server } = await startService(path);
  onTestFinished(() => server.close(0));
  const root = digestOf(path);
  expect(await asked(server, await minted([root]))).toBe("answered");
  expect(await asked(server, await minted([elsewhere, root]))).toBe("answered");
  expect(await asked(server, await minted([elsewhere]))).toBe("E_CAPABILITY");
  expect(await asked(server, await minted([root.toUpperCase()]))).toBe("E_CAPABILITY");
  const narrowed = (models: string[]): Promise<string> =>
    minted(["*"]).then((token) => attenuate(token, folder.publicKeys(), { models }));
  expect(await asked(server, await narrowed([root]))).toBe("answered");
  expect(await asked(server, await narrowed([elsewhere]))).toBe("E_CAPABILITY");
});

test("a sealed model is named by the root of its seal, and not by its file", async () => {
  const keys = makeKeys(join(home, "release"));
  const { seal } = await sealModel(path, readPrivateKey(keys.privateKey), {});
  const rule = { keyFile: keys.publicKey, model: "*", root: undefined };
  const { server } = await startService(path, { sealTrust: [rule] });
  onTestFinished(() => server.close(0));
  expect(seal.root).not.toBe(digestOf(path));
  expect(await asked(server, await minted([seal.root]))).toBe("answered");
  expect(await asked(server, await minted([digestOf(path)]))).toBe("E_CAPABILITY");
});

/** A server whose model file is touched while it loads. */
async function touched(
  options: Partial<ServeOptions> = {},
): Promise<{ server: RunningServer; log: LogLine[] }> {
  const log: LogLine[] = [];
  const server = await startServer(
    path,
    { file: undefined, layers: { file: {}, flag: { ...serveDefaults, ...options } } },
    {
      version: "0.0.0",
      onProgress: () => {},
      log: { write: (line) => log.push(JSON.parse(line) as LogLine) },
    },
  );
  onTestFinished(() => server.close(0));
  utimesSync(path, 1, 1);
  return { server, log };
}

test("a model whose file was changed while it was loaded has no root, and its id alone opens it", async () => {
  const { server, log } = await touched();
  await server.ready;
  expect(await asked(server, await minted([digestOf(path)]))).toBe("E_CAPABILITY");
  expect(await asked(server, await minted([tinyModelName]))).toBe("answered");
  expect(log).toContainEqual(
    expect.objectContaining({ level: "warn", model: path, msg: expect.stringContaining("has no root") }),
  );
  const recorded = await touched({ ledgerFolder: join(home, "ledger") });
  await expect(recorded.server.ready).rejects.toMatchObject({
    code: "E_FILE",
    message: expect.stringContaining("start again"),
  });
});

test("a file is measured once for all who ask, and one that changes meanwhile not at all", async () => {
  const lines: string[] = [];
  const log = createLog({ logLevel: "warn", logFormat: "json" }, { write: (line) => lines.push(line) });
  const file = join(home, "other.gguf");
  copyFileSync(path, file);
  const named = { root: digestOf(file), source: "file-sha256" };
  const root = new ServedRoot(file, undefined, log);
  expect(await Promise.all([root.find(), root.find()])).toEqual([named, named]);
  appendFileSync(file, "x");
  expect(await root.find()).toEqual(named);
  expect(lines).toHaveLength(0);

  const changing = new ServedRoot(file, undefined, log);
  const finding = changing.find();
  appendFileSync(file, "x");
  expect(await finding).toBeUndefined();
  expect(await new ServedRoot(join(home, "none.gguf"), undefined, log).find()).toBeUndefined();
  expect(lines).toHaveLength(2);

  const stopped = new ServedRoot(file, undefined, log);
  stopped.close();
  expect(await stopped.find()).toBeUndefined();
  expect(lines).toHaveLength(2);
});
