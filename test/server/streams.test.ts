/** Streams that clients come back to. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { attenuate, inspect, mint, type Restrictions, TokenFolder } from "../../src/capability/mod.ts";
import type { ServeOptions } from "../../src/config/mod.ts";
import { digestOf } from "../../src/server/keys.ts";
import {
  makeHome,
  makeTinyModel,
  removeHome,
  type Service,
  startService,
  tinyModelName,
  until,
} from "./service.ts";
import { bytesOf, comparable, errorCode, readEvents, type SseAnswer, type SseRequest } from "./sse-client.ts";

let home: string;
let path: string;
let service: Service;
let folder: TokenFolder;

const teams = ["red", "blue"] as const;
const teamKey = (tenant: (typeof teams)[number]): string => `key-of-the-team-${tenant}`;

const options: Partial<ServeOptions> = {
  logLevel: "info",
  apiKeys: teams.map((tenant) => ({
    tenant,
    keyFile: undefined,
    keySha256: digestOf(teamKey(tenant)),
    scopes: ["inference"],
    priorityMin: 0,
  })),
};

beforeAll(async () => {
  home = makeHome();
  path = makeTinyModel(home);
  folder = new TokenFolder(join(home, "state", "openclaw", "tokens"));
  await folder.rotate();
  service = await startService(path, options);
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

const asked = { prompt: "Once upon a time", max_tokens: 120, seed: 5, ignore_eos: true };
const chatted = { messages: [{ role: "user", content: "A story!" }], max_tokens: 60, seed: 6 };

interface Asking extends Omit<SseRequest, "url" | "key"> {
  readonly key?: string;
  readonly path?: string;
  readonly of?: Service;
}

function open(body: object, { of = service, ...more }: Asking = {}): Promise<SseAnswer> {
  const openclaw = { resumable: true };
  const kind = "messages" in body ? "/v1/chat/completions" : "/v1/completions";
  return readEvents({
    key: of.server.apiKey?.key ?? "",
    method: "POST",
    body: { stream: true, openclaw, ...body },
    ...more,
    url: of.server.url + kind,
  });
}

/** The rest of a stream, by the id of an event, or all of it by its own id. */
function resume(id: string, { of = service, path: at = "", ...more }: Asking = {}): Promise<SseAnswer> {
  const [stream] = id.split(":");
  return readEvents({
    key: of.server.apiKey?.key ?? "",
    lastEventId: id.includes(":") ? id : undefined,
    ...more,
    url: `${of.server.url}${at === "" ? `/v1/streams/${stream}` : at}`,
  });
}

const lastId = ({ events }: SseAnswer): string => events.findLast(({ id }) => id !== undefined)?.id ?? "";

/** Reads a stream in pieces: leaves after so many events, again and again. */
async function inPieces(body: object, cuts: readonly number[]): Promise<SseAnswer & { pieces: number }> {
  let answer = await open(body, { leaveAfter: cuts[0] });
  const events = [...answer.events];
  let pieces = 1;
  for (const cut of [...cuts.slice(1), undefined]) {
    answer = await resume(lastId({ ...answer, events }), { leaveAfter: cut });
    if (answer.status === 204) break;
    expect(answer.status).toBe(200);
    events.push(...answer.events);
    pieces++;
  }
  return { ...answer, events, pieces };
}

const idle = (of = service) =>
  until(
    () => of.health(),
    ({ running, waiting }) => running + waiting === 0,
  );

describe("a stream in pieces", () => {
  test.each([
    ["a completion", { ...asked, stream_options: { include_usage: true } }],
    ["a chat with log-probabilities", { ...chatted, logprobs: true, top_logprobs: 3, ignore_eos: true }],
  ])("%s has the bytes of one that was read at once", async (_, body) => {
    const whole = await open(body);
    expect(whole.events.length).toBeGreaterThan(40);
    expect(whole.events.at(-1)?.data).toBe("[DONE]");
    const numbers = whole.events.map(({ id }) => Number(id?.split(":")[1]));
    expect(numbers).toEqual(whole.events.map((__, index) => index + 1));
    const cut = await inPieces(body, [1, 2, 7, 30, 1]);
    expect(cut.pieces).toBe(6);
    expect(comparable(bytesOf(cut))).toBe(comparable(bytesOf(whole)));
    // Also the stream itself, once it is over, from its beginning and from anywhere.
    const id = lastId(cut).split(":")[0] ?? "";
    expect(bytesOf(await resume(id))).toBe(bytesOf(cut));
    for (const at of [0, 1, 20, cut.events.length - 1]) {
      expect(bytesOf(await resume(`${id}:${at}`))).toBe(bytesOf({ events: cut.events.slice(at) }));
    }
    expect(await resume(lastId(cut))).toEqual({ status: 204, events: [], error: undefined });
  });

  test("several answers: each of them, wherever it is cut", async () => {
    const body = { ...asked, prompt: ["Once", "A cat"], n: 2, max_tokens: 30, logprobs: 1 };
    const whole = await open(body);
    const cut = await inPieces(body, [3, 10, 25, 40]);
    expect(cut.pieces).toBe(5);
    const answers = (answer: SseAnswer): string[] =>
      [0, 1, 2, 3].map((index) => {
        const own = answer.events.filter(({ data }) => data.includes(`"index":${index},`));
        return comparable(own.map(({ data }) => data).join("\n"));
      });
    expect(answers(cut)).toEqual(answers(whole));
    expect(new Set(answers(whole)).size).toBe(4);
    expect(lastId(cut)).toMatch(/^cmpl-\w+:\d+\.\d+\.\d+\.\d+$/);
    expect(lastId(cut).split(":")[1]).toBe(lastId(whole).split(":")[1]);
  });

  test("the same request sent again with Last-Event-ID goes on, too", async () => {
    const body = { stream: true, openclaw: { resumable: true }, ...asked };
    const first = await open(body, { leaveAfter: 9 });
    const at = "/v1/completions";
    const rest = await resume(lastId(first), { path: at, method: "POST", body });
    const id = lastId(first).split(":")[0] ?? "";
    expect(bytesOf({ events: [...first.events, ...rest.events] })).toBe(bytesOf(await resume(id)));
  });

  test("a stock client notices nothing, and can name the last event that it had", async () => {
    const { client, server } = service;
    const request = { model: tinyModelName, ...asked, stream: true as const };
    const plain = await Array.fromAsync(await client.completions.create(request));
    const resumable = { ...request, openclaw: { resumable: true } } as typeof request;
    const chunks = await Array.fromAsync(await client.completions.create(resumable));
    const texts = (list: typeof plain): string[] => list.map(({ choices }) => choices[0]?.text ?? "");
    expect(texts(chunks)).toEqual(texts(plain));
    const rest = await resume(`${chunks[0]?.id}:10`, { key: server.apiKey?.key ?? "" });
    const told = rest.events.slice(0, -1).map(({ data }) => (JSON.parse(data) as (typeof plain)[0]).choices);
    expect(told.map(([choice]) => choice?.text)).toEqual(texts(chunks).slice(10));
  });
});

describe("streams end", () => {
  test("with their connection, and have no ids, where nobody asked", async () => {
    const left = await open({ ...asked, max_tokens: 900, openclaw: undefined }, { leaveAfter: 3 });
    expect(left.events.map(({ id }) => id)).toEqual([undefined, undefined, undefined]);
    expect(await idle()).toBeDefined();
    const id = (JSON.parse(left.events[0]?.data ?? "{}") as { id: string }).id;
    expect(await resume(`${id}:1`)).toMatchObject({ status: 404, error: "E_STREAM" });
  });

  test("when nobody comes back in time", async () => {
    const short = await startService(path, { ...options, streamsLingerSeconds: 1 });
    onTestFinished(() => short.server.close(0));
    const body = { ...asked, max_tokens: 1000 };
    const left = await open(body, { of: short, leaveAfter: 3 });
    await sleep(500);
    expect(await short.health()).toMatchObject({ running: 1 });
    const back = await resume(lastId(left), { of: short, leaveAfter: 3 });
    expect(back.events).toHaveLength(3);
    await sleep(500);
    expect(await short.health()).toMatchObject({ running: 1 });
    const ended = await until(
      async () => short.log.find(({ msg }) => msg === "A stream ended that nobody was reading."),
      (line) => line !== undefined,
    );
    expect(ended).toMatchObject({ finish_reasons: {}, stream: lastId(left).split(":")[0] });
    expect(await idle(short)).toBeDefined();
    expect(await resume(lastId(left), { of: short })).toMatchObject({ status: 404, error: "E_STREAM" });
  });

  test("at once when they are told to", async () => {
    const left = await open({ ...asked, max_tokens: 1000 }, { leaveAfter: 3 });
    const url = `${service.server.url}/v1/streams/${lastId(left).split(":")[0]}`;
    const headers = { authorization: `Bearer ${service.server.apiKey?.key}` };
    expect((await fetch(url, { method: "DELETE", headers })).status).toBe(204);
    expect(await idle()).toBeDefined();
    expect(await resume(lastId(left))).toMatchObject({ status: 404, error: "E_STREAM" });
    expect((await fetch(url, { method: "DELETE", headers })).status).toBe(404);
  });
});

describe("who may come back", () => {
  const minted = (restrictions: Restrictions = {}): Promise<string> => {
    const grant = { endpoints: ["/v1/completions"], models: [tinyModelName], adapters: [], tools: [] };
    return mint(folder.signingKey(), { tenant: "red", inference: [grant] }, restrictions);
  };
  const missing = { status: 404, events: [], error: "E_STREAM" };

  test("the tenant that opened the stream, and nobody else, who is told the same as of no stream", async () => {
    const left = await open(asked, { key: teamKey("red"), leaveAfter: 5 });
    const id = lastId(left);
    for (const key of [teamKey("blue"), service.server.apiKey?.key ?? "", await minted()]) {
      expect(await resume(id, { key })).toEqual(missing);
      expect(await resume(id.replace(/.:/, "x:"), { key })).toEqual(missing);
    }
    expect(await resume(id, { key: "none of them" })).toMatchObject({ status: 401 });
    const rest = await resume(id, { key: teamKey("red") });
    expect(errorCode(rest)).toBeUndefined();
    expect(rest.events.length).toBeGreaterThan(50);
  });

  test("a capability token, but no other of its tenant, nor one made from it, nor itself when it is revoked", async () => {
    const token = await minted();
    const left = await open({ ...asked, max_tokens: 1000 }, { key: token, leaveAfter: 5 });
    const id = lastId(left);
    const child = await attenuate(token, folder.publicKeys(), { models: [tinyModelName] });
    for (const key of [child, await minted(), teamKey("red")]) {
      expect(await resume(id, { key })).toEqual(missing);
    }
    const more = await resume(id, { key: token, leaveAfter: 5 });
    expect(more.events).toHaveLength(5);
    const { revocationIds } = await inspect(token, folder.publicKeys());
    folder.revoke(revocationIds);
    const refused = await until(
      () => resume(id, { key: token, leaveAfter: 1 }),
      ({ status }) => status === 401,
    );
    expect(refused).toMatchObject({ error: "E_TOKEN_REVOKED" });
    // What ran under it has ended, though nobody was reading.
    expect(await idle()).toBeDefined();
  });

  test("a budget is spent also while nobody reads", async () => {
    const token = await minted({ tokens: 60 });
    const left = await open({ ...asked, max_tokens: 500 }, { key: token, leaveAfter: 5 });
    expect(await idle()).toBeDefined();
    const rest = await resume(lastId(left), { key: token });
    expect(errorCode(rest)).toBe("E_TOKEN_BUDGET");
    expect(rest.events.at(-1)?.id).toBeUndefined();
    const drawn = left.events.length + rest.events.length - 1;
    expect(drawn).toBeGreaterThan(40);
    expect(drawn).toBeLessThan(60);
  });

  test("ids that are none, of another stream, and of events that there are not", async () => {
    const whole = await open({ ...asked, n: 2, max_tokens: 5 });
    const [id] = lastId(whole).split(":");
    const wrong = [
      "",
      "x",
      `${id}`,
      `${id}:`,
      `${id}:-1.0`,
      `${id}:1`,
      `${id}:1.1.1`,
      `${id}:9.99`,
      `${id}:1e3.0`,
    ];
    const path = `/v1/streams/${id}`;
    for (const lastEventId of [...wrong, "cmpl-other:1.1", `${id}:9999999999.0`]) {
      const answer = await resume(`${id}:0.0`, { path, lastEventId });
      expect(answer, lastEventId).toMatchObject({ status: 400, error: "E_PARAMETER" });
    }
    expect((await resume(`${id}:0.0`)).events).toHaveLength(whole.events.length);
    const plain = await open({ ...asked, stream: false });
    expect(plain).toMatchObject({ status: 400, error: "E_PARAMETER" });
  });
});

test("streams are kept within so many bytes: of ended ones that nobody reads the oldest go", async () => {
  const small = await startService(path, { ...options, streamsKeptBytes: 65_536 });
  onTestFinished(() => small.server.close(0));
  const ids: string[] = [];
  for (let round = 0; round < 5; round++) {
    const whole = await open({ ...asked, max_tokens: 40, logprobs: 3 }, { of: small });
    expect(errorCode(whole)).toBeUndefined();
    expect(bytesOf(whole).length).toBeGreaterThan(15_000);
    ids.push(lastId(whole));
  }
  const statuses = await Promise.all(ids.map(async (id) => (await resume(id, { of: small })).status));
  expect(statuses.slice(0, 2)).toEqual([404, 404]);
  expect(statuses.at(-1)).toBe(204);
});
