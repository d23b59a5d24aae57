import { readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attenuate, inspect, mint, type Restrictions, TokenFolder } from "../../src/capability/mod.ts";
import {
  makeHome,
  makeTinyModel,
  removeHome,
  type Service,
  startService,
  tinyModelName,
  until,
} from "./service.ts";

let home: string;
let service: Service;
let folder: TokenFolder;

beforeAll(async () => {
  home = makeHome();
  folder = new TokenFolder(join(home, "state", "openclaw", "tokens"));
  await folder.rotate();
  service = await startService(makeTinyModel(home), { logLevel: "info" });
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

function minted(
  restrictions: Restrictions = {},
  models: readonly string[] = [tinyModelName],
): Promise<string> {
  const grant = { endpoints: ["/v1/completions", "/v1/models"], models, adapters: [], tools: [] };
  return mint(folder.signingKey(), { tenant: "team", inference: [grant] }, restrictions);
}

const clientOf = (apiKey: string): OpenAI =>
  new OpenAI({ baseURL: `${service.server.url}/v1`, apiKey, maxRetries: 0 });

const request = (tokens: number) => ({
  model: tinyModelName,
  prompt: [5, 6, 7],
  max_tokens: tokens,
  seed: 1,
  ignore_eos: true,
});

/** A running stream under a token: how many pieces came, and how and when it ended. */
async function follow(token: string) {
  const stream = await clientOf(token).completions.create({ ...request(1000), stream: true });
  const state = { pieces: 0, error: undefined as { code?: string } | undefined, endedAt: 0 };
  const done = (async () => {
    try {
      for await (const _ of stream) state.pieces++;
    } catch (error) {
      state.error = error as { code?: string };
    }
    state.endedAt = performance.now();
  })();
  return { state, done, stream };
}

test("a token opens what it grants and nothing else, beside the owner's key", async () => {
  const client = clientOf(await minted());
  const answer = await client.completions.create(request(4));
  expect(answer.usage).toMatchObject({ completion_tokens: 4 });
  expect((await client.models.list()).data).toHaveLength(1);
  const chat = client.chat.completions.create({
    model: tinyModelName,
    messages: [{ role: "user", content: "a" }],
  });
  await expect(chat).rejects.toMatchObject({ status: 403, code: "E_CAPABILITY" });
  const other = clientOf(await minted({}, ["another"])).completions.create(request(4));
  await expect(other).rejects.toMatchObject({ status: 403, code: "E_CAPABILITY" });
  await service.client.completions.create(request(4));
  for (const path of ["/metrics", "/admin/config"]) {
    const headers = { authorization: `Bearer ${await minted()}` };
    expect((await fetch(service.server.url + path, { headers })).status).toBe(403);
  }
  const metrics = await mint(folder.signingKey(), { tenant: "watch", scopes: ["metrics"] });
  const text = await fetch(`${service.server.url}/metrics`, {
    headers: { authorization: `Bearer ${metrics}` },
  });
  expect(await text.text()).toMatch(
    /claw:capability_denials_total\{code="E_CAPABILITY",model_name="tiny"\} [1-9]/,
  );
});

test("the log names the revocation ids of a request's token", async () => {
  const token = await attenuate(await minted(), folder.publicKeys(), { models: [tinyModelName] });
  await clientOf(token).completions.create(request(1));
  const line = await until(
    async () => service.log.findLast(({ tenant }) => tenant === "team"),
    (found) => Array.isArray(found?.["revocation_ids"]) && found["revocation_ids"].length === 2,
  );
  expect(line).toMatchObject({ revocation_ids: [expect.any(String), expect.any(String)], status: 200 });
});

test("a budget ends a stream in the middle, is shared by requests, and is kept at the door", async () => {
  const client = clientOf(await minted({ tokens: 20 }));
  await client.completions.create(request(5));
  const stream = await client.completions.create({ ...request(100), stream: true });
  let pieces = 0;
  const reading = (async () => {
    for await (const chunk of stream) pieces += chunk.choices.length;
  })();
  await expect(reading).rejects.toMatchObject({
    code: "E_TOKEN_BUDGET",
    message: expect.stringContaining("20 tokens"),
  });
  // Prompts of 3 tokens count, too.
  expect(pieces).toBeLessThanOrEqual(20 - 3 - 5 - 3);
  expect(pieces).toBeGreaterThan(0);
  await expect(client.completions.create(request(1))).rejects.toMatchObject({
    status: 429,
    code: "E_TOKEN_BUDGET",
  });
});

test("a token for one request is refused when it is sent again, and a rate says when to come back", async () => {
  const once = clientOf(await minted({ requests: 1 }));
  await once.completions.create(request(1));
  await expect(once.completions.create(request(1))).rejects.toMatchObject({
    status: 429,
    code: "E_TOKEN_BUDGET",
  });
  const rated = clientOf(await minted({ rate: { requests: 1, seconds: 60 } }));
  await rated.completions.create(request(1));
  const refused = await rated.completions.create(request(1)).then(
    () => undefined,
    (error: { code: string; headers: Headers }) => error,
  );
  expect(refused?.code).toBe("E_TOKEN_RATE");
  expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(50);
});

test("revoking a token ends its running stream within a second, and no other", async () => {
  const keys = folder.publicKeys();
  const parent = await minted();
  const [child, sibling] = [
    await attenuate(parent, keys, { models: [tinyModelName] }),
    await attenuate(parent, keys, { endpoints: ["/v1/completions"] }),
  ];
  const [ended, other] = [await follow(child), await follow(sibling)];
  await until(
    async () => Math.min(ended.state.pieces, other.state.pieces),
    (pieces) => pieces > 5,
  );
  const id = (await inspect(child, keys)).revocationIds.at(-1) ?? "";
  const revokedAt = performance.now();
  folder.revoke([id]);
  await ended.done;
  expect(ended.state.error?.code).toBe("E_TOKEN_REVOKED");
  expect(ended.state.endedAt - revokedAt).toBeLessThan(1000);
  console.log(`a stream ended ${Math.round(ended.state.endedAt - revokedAt)} ms after its token was revoked`);
  const before = other.state.pieces;
  await until(
    async () => other.state.pieces,
    (pieces) => pieces > before + 5,
  );
  expect(other.state.error).toBeUndefined();
  expect(other.state.pieces).toBeGreaterThan(before);
  other.stream.controller.abort();
  await other.done;
  await expect(clientOf(child).completions.create(request(1))).rejects.toMatchObject({
    status: 401,
    code: "E_TOKEN_REVOKED",
  });
});

/** Sends ids to be revoked. */
async function revoking(body: unknown, key = service.server.apiKey?.key) {
  const answer = await fetch(`${service.server.url}/admin/revocations`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as object };
}

const idOf = (n: number): string => n.toString(16).padStart(128, "0");

test("an administrator revokes tokens over HTTP: streams that run end, and the file has the ids", async () => {
  const keys = folder.publicKeys();
  const tokens = await Promise.all([minted(), minted(), minted()]);
  const ids = await Promise.all(
    tokens.map(async (token) => (await inspect(token, keys)).revocationIds[0] ?? ""),
  );
  const [first, second, other] = await Promise.all(tokens.map(follow));
  await until(
    async () => Math.min(...[first, second, other].map((stream) => stream?.state.pieces ?? 0)),
    (pieces) => pieces > 5,
  );
  const unused = idOf(1);
  const sent = [ids[0], ids[1], unused, unused];
  expect(await revoking({ ids: sent })).toEqual({ status: 200, body: { added: 3, ended: 2 } });
  for (const stream of [first, second]) {
    await stream?.done;
    expect(stream?.state.error?.code).toBe("E_TOKEN_REVOKED");
  }
  const before = other?.state.pieces ?? 0;
  await until(
    async () => other?.state.pieces ?? 0,
    (pieces) => pieces > before + 5,
  );
  expect(other?.state).toMatchObject({ error: undefined, endedAt: 0 });
  other?.stream.controller.abort();
  await other?.done;
  expect([...ids.slice(0, 2), unused].filter((id) => !folder.revoked().has(id))).toEqual([]);
  expect(await revoking({ ids: sent })).toEqual({ status: 200, body: { added: 0, ended: 0 } });
  const refused = clientOf(tokens[0] ?? "").completions.create(request(1));
  await expect(refused).rejects.toMatchObject({ status: 401, code: "E_TOKEN_REVOKED" });
});

test("what is to be revoked is taken whole or refused whole, and only from an administrator", async () => {
  const list = (): string => readFileSync(folder.revokedFile, "utf8");
  const before = list();
  const many = (count: number): string[] => Array.from({ length: count }, (_, n) => idOf(1000 + n));
  const bodies = [
    {},
    { ids: [] },
    { ids: "x" },
    { ids: [7] },
    { ids: [idOf(2), "xyz"] },
    { ids: [idOf(2), idOf(2).toUpperCase().replace(/0/g, "A")] },
    { ids: [idOf(2)], reason: "lost" },
    { ids: many(1001) },
  ];
  for (const body of bodies) {
    expect(await revoking(body)).toMatchObject({ status: 400, body: { error: { code: "E_PARAMETER" } } });
  }
  expect(await revoking([idOf(2)])).toMatchObject({ status: 400, body: { error: { code: "E_JSON" } } });
  const ordinary = await revoking({ ids: [idOf(2)] }, await minted());
  expect(ordinary).toMatchObject({ status: 403, body: { error: { code: "E_CAPABILITY" } } });
  expect((await revoking({ ids: [idOf(2)] }, "wrong")).status).toBe(401);
  expect(list()).toBe(before);
  const admin = await mint(folder.signingKey(), { tenant: "owner", scopes: ["admin"] });
  expect(await revoking({ ids: many(1000) }, admin)).toEqual({
    status: 200,
    body: { added: 1000, ended: 0 },
  });
  expect(list()).toBe(`${before}${many(1000).join("\n")}\n`);
});

test("a key that is made while the server runs is known to it", async () => {
  await folder.rotate();
  const client = clientOf(await minted());
  const answered = await until(
    () =>
      client.completions.create(request(1)).then(
        () => true,
        () => false,
      ),
    (done) => done,
  );
  expect(answered).toBe(true);
});

test("what was spent is in the folder when the server has stopped", async () => {
  await service.server.close(0);
  expect(readFileSync(join(folder.path, "spent"), "utf8")).toMatch(/^[0-9a-f]{128} \d+ \d+\.$/m);
  service = await startService(join(home, `${tinyModelName}.gguf`));
});
