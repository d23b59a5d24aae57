import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLog } from "../../src/server/mod.ts";
import { makeHome, makeTinyModel, removeHome, type Service, startService, until } from "./service.ts";

let home: string;
let service: Service;

beforeAll(async () => {
  home = makeHome();
  service = await startService(makeTinyModel(home), { logLevel: "info" });
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

const headers = (id: string): Record<string, string> => ({
  authorization: `Bearer ${service.server.apiKey?.key}`,
  "content-type": "application/json",
  "x-request-id": id,
});

test("each request is one line with its id, tokens and times, and no word of prompt, answer or key", async () => {
  const prompt = "A secret that nobody should read";
  const body = JSON.stringify({ prompt, max_tokens: 5, ignore_eos: true, n: 2, seed: 1 });
  const answer = await fetch(`${service.server.url}/v1/completions`, {
    method: "POST",
    headers: headers("my.id-1"),
    body,
  });
  expect(answer.headers.get("x-request-id")).toBe("my.id-1");
  const { choices, usage } = (await answer.json()) as OpenAI.Completion;
  const line = await until(
    async () => service.log.find(({ request }) => request === "my.id-1"),
    (found) => found !== undefined,
  );
  expect(line).toMatchObject({
    level: "info",
    method: "POST",
    path: "/v1/completions",
    status: 200,
    tenant: "owner",
    model: "tiny",
    prompt_tokens: usage?.prompt_tokens,
    completion_tokens: 10,
    finish_reasons: { length: 2 },
  });
  expect(line?.["ttft_ms"]).toBeGreaterThan(0);
  expect(line?.["latency_ms"]).toBeGreaterThanOrEqual(line?.["ttft_ms"] as number);
  const all = JSON.stringify(service.log);
  for (const word of ["secret", service.server.apiKey?.key ?? "", choices[0]?.text.trim() ?? ""]) {
    expect(word).not.toBe("");
    expect(all).not.toContain(JSON.stringify(word).slice(1, -1));
  }
});

test.each(["x".repeat(129), "line\tbreak", 'quote"', ""])(
  "an id of %j is replaced by one of our own",
  async (id) => {
    const answer = await fetch(`${service.server.url}/v1/models`, { headers: headers(id) });
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
  },
);

test("refused requests have their code, and those that went away say so", async () => {
  await fetch(`${service.server.url}/v1/completions`, { method: "POST", headers: headers("bad"), body: "{" });
  const leave = new AbortController();
  const body = JSON.stringify({ prompt: "x", max_tokens: 900, ignore_eos: true, stream: true });
  const { signal } = leave;
  const answer = await fetch(`${service.server.url}/v1/completions`, {
    method: "POST",
    headers: headers("gone"),
    body,
    signal,
  });
  leave.abort();
  await answer.text().catch(() => {});
  const found = await until(
    async () => service.log.filter(({ request }) => request === "bad" || request === "gone"),
    (lines) => lines.length === 2,
  );
  expect(found).toMatchObject([{ status: 400, error: "E_JSON" }, { left: true }]);
});

test("text is for people: time, level, message, then what is known", () => {
  const lines: string[] = [];
  const log = createLog({ logLevel: "warn", logFormat: "text" }, { write: (line) => lines.push(line) });
  log.info("Not this.");
  log.warn({ name: "a", list: [1] }, "This.");
  log.level = "info";
  log.info({ text: "two words" }, "And this.");
  expect(lines).toEqual([
    expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z warn {2}This\. name=a list=\[1\]\n$/),
    expect.stringMatching(/Z info {2}And this\. text="two words"\n$/),
  ]);
});
