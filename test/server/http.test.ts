import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHttpServer, ServedModels } from "../../src/server/mod.ts";
import { bareCompletions, bareServer } from "./bare.ts";
import {
  makeHome,
  makeTinyModel,
  tinyModelName as model,
  removeHome,
  type Service,
  startService,
  until,
} from "./service.ts";

let home: string;
let service: Service;

beforeAll(async () => {
  home = makeHome();
  service = await startService(makeTinyModel(home));
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

const asked = { model, prompt: "Once upon a time", seed: 1, max_tokens: 900, ignore_eos: true };

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A request with any headers, those included that `fetch` does not let one set. */
function send(url: string, headers: Record<string, string>, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on("error", reject).end();
  });
}

const bearer = (): Record<string, string> => ({ authorization: `Bearer ${service.server.apiKey?.key}` });

describe("who may call", () => {
  test("without the key, or with another, every path but /health answers 401", async () => {
    const { url, apiKey } = service.server;
    const wrong = [
      undefined,
      "",
      "Bearer",
      "Bearer claw-wrong",
      `Bearer ${apiKey?.key}x`,
      `Basic ${apiKey?.key}`,
    ];
    for (const authorization of wrong) {
      for (const path of ["/v1/models", `/v1/models/${model}`, "/v1/chat/completions", "/nowhere"]) {
        const headers = authorization === undefined ? {} : { authorization };
        const answer = await fetch(url + path, {
          headers,
          method: path.endsWith("completions") ? "POST" : "GET",
        });
        expect(answer.status, `${authorization} ${path}`).toBe(401);
        expect(await answer.json()).toMatchObject({
          error: { code: "E_AUTH", type: "authentication_error" },
        });
      }
    }
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await fetch(`${url}/v1/models`, { headers: bearer() })).status).toBe(200);
  });

  test("a page of another origin may not, and gets no CORS headers", async () => {
    const { url } = service.server;
    const own = await send(`${url}/v1/models`, { ...bearer(), origin: url });
    expect(own.status).toBe(200);
    for (const origin of ["http://elsewhere.example", "null", "http://127.0.0.1:1"]) {
      const answer = await send(`${url}/v1/models`, { ...bearer(), origin });
      expect(answer).toMatchObject({ status: 403, body: expect.stringContaining("E_ORIGIN") });
    }
    const preflight = await fetch(`${url}/v1/models`, { method: "OPTIONS", headers: bearer() });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("where no key is asked for, only loopback names lead here", async () => {
    const models = new ServedModels("none", 0);
    const http = createHttpServer({ ...bareServer(), models, completions: bareCompletions(models) });
    const url = await http.listen({ host: "127.0.0.1", port: 0 });
    for (const host of ["localhost", "127.0.0.1:80", "[::1]:9", new URL(url).host]) {
      expect((await send(`${url}/v1/models`, { host })).status, host).toBe(200);
    }
    for (const host of [
      "elsewhere.example",
      "127.0.0.1.elsewhere.example",
      "10.0.0.1:8080",
      "localhost.example",
    ]) {
      const answer = await send(`${url}/v1/models`, { host });
      expect(answer, host).toMatchObject({ status: 403, body: expect.stringContaining("E_ORIGIN") });
    }
    await http.close();
  });
});

describe("while the model loads", () => {
  test("/health says 503 and how far it is; the API says 503 and when to come back", async () => {
    const models = new ServedModels("soon", 0);
    const http = createHttpServer({ ...bareServer(), models, completions: bareCompletions(models) });
    const url = await http.listen({ host: "127.0.0.1", port: 0 });
    models.advance(0.25);
    const health = await fetch(`${url}/health`);
    expect(health.status).toBe(503);
    expect(await health.json()).toEqual({ status: "loading", progress: 0.25 });
    const answer = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "soon", prompt: "x" }),
    });
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await answer.json()).toMatchObject({ error: { code: "E_LOADING", type: "server_error" } });
    await http.close();
  });
});

describe("requests that cannot be read", () => {
  test.each([
    ["not JSON", "{", "E_JSON", 400],
    ["no body", "", "E_JSON", 400],
    ["an array", "[]", "E_JSON", 400],
    ["a forbidden name", '{"__proto__": {}}', "E_JSON", 400],
    ["an empty model's name", '{"model":"","prompt":"a"}', "E_PARAMETER", 400],
    ["an unknown parameter", `{"model": "${model}", "prompt": "x", "colour": 1}`, "E_UNSUPPORTED", 400],
    ["another model", '{"model": "other", "prompt": "x"}', "E_MODEL_NOT_FOUND", 404],
    ["a huge body", `"${"x".repeat(17 * 1024 * 1024)}"`, "E_BODY_TOO_LARGE", 413],
  ])("%s", async (...[, body, code, status]) => {
    const answer = await service.post("/v1/completions", body);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({
      error: { code, message: expect.stringMatching(/^[A-Z].*\.$/) },
    });
  });

  test("other content types, paths and methods are answered in the same shape", async () => {
    const { url } = service.server;
    const headers = { ...bearer(), "content-type": "text/plain" };
    const text = await fetch(`${url}/v1/completions`, { method: "POST", headers, body: "{}" });
    expect(await text.json()).toMatchObject({ error: { code: "E_JSON" } });
    for (const [path, method] of [
      ["/v1/nothing", "GET"],
      ["/v1/completions", "DELETE"],
      ["/%zz", "GET"],
    ] as const) {
      const answer = await fetch(url + path, { method, headers: bearer() });
      expect(answer.status).toBe(404);
      expect(await answer.json()).toMatchObject({ error: { code: "E_NOT_FOUND" } });
    }
  });

  test("every response carries an id of its own", async () => {
    const ids = new Set<string | null>();
    for (const path of ["/health", "/v1/models", "/nowhere", "/v1/models/other"]) {
      const answer = await fetch(service.server.url + path, { headers: bearer() });
      ids.add(answer.headers.get("x-request-id"));
    }
    expect(ids.size).toBe(4);
    expect([...ids].every((id) => /^[0-9a-f]{32}$/.test(id ?? ""))).toBe(true);
  });
});

describe("streams", () => {
  test("are events that proxies neither keep nor change", async () => {
    const body = JSON.stringify({ ...asked, max_tokens: 3, stream: true });
    const answer = await service.post("/v1/completions", body);
    expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(answer.headers.get("cache-control")).toBe("no-cache, no-transform");
    expect(answer.headers.get("x-accel-buffering")).toBe("no");
    const events = (await answer.text()).split("\n\n");
    expect(events.pop()).toBe("");
    expect(events.pop()).toBe("data: [DONE]");
    expect(events.length).toBeGreaterThan(0);
    for (const event of events) expect(JSON.parse(event.replace(/^data: /, ""))).toHaveProperty("choices");
  });

  // Sixteen answers of 900 tokens, four at a time, take far longer than the test waits for them to be gone.
  test.each([
    ["reading a stream", true],
    ["waiting for a whole answer", false],
  ])(
    "a client that leaves while %s takes its requests out of the engine, queued ones too",
    async (_, stream) => {
      const { server, health } = service;
      const leave = new AbortController();
      const answer = fetch(`${server.url}/v1/completions`, {
        method: "POST",
        headers: { ...bearer(), "content-type": "application/json" },
        body: JSON.stringify({ ...asked, stream, n: 16 }),
        signal: leave.signal,
      });
      const outcome = answer.then(
        (response) => response.text().catch(() => "left"),
        () => "left",
      );
      const busy = await until(health, ({ running, waiting }) => running === 4 && waiting === 12);
      expect(busy).toBeDefined();
      leave.abort();
      expect(await until(health, ({ running, waiting }) => running + waiting === 0)).toBeDefined();
      expect(await outcome).toBe("left");
    },
  );
});

describe("stopping", () => {
  test("a stream that is cut off says why in its last event; whoever comes later finds nobody", async () => {
    const stopping = await startService(`${home}/${model}.gguf`);
    const answer = await stopping.post("/v1/completions", JSON.stringify({ ...asked, stream: true }));
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    const first = await reader.read();
    expect(first.value).toContain("data: {");
    await stopping.server.close(0);
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest += part.value;
    const last = rest.trimEnd().split("\n\n").at(-1) ?? "";
    expect(JSON.parse(last.replace(/^data: /, ""))).toMatchObject({
      error: { code: "E_SHUTDOWN", type: "server_error" },
    });
    // A failure after the beginning is reported to the operator like any other.
    expect(stopping.log.map(({ code }) => code)).toEqual(["E_SHUTDOWN"]);
    await expect(fetch(`${stopping.server.url}/health`)).rejects.toThrow();
  });

  test("answers that end within the grace are complete", async () => {
    const stopping = await startService(`${home}/${model}.gguf`);
    const body = JSON.stringify({ ...asked, max_tokens: 60, stream: true });
    const answer = await stopping.post("/v1/completions", body);
    const [text] = await Promise.all([answer.text(), stopping.server.close()]);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(text.match(/"finish_reason":"length"/g)).toHaveLength(1);
  });
});
