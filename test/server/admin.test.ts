import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { makeHome, makeTinyModel, removeHome, type Service, startService, until } from "./service.ts";

let home: string;
let path: string;

beforeAll(() => {
  home = makeHome();
  path = makeTinyModel(home);
});

afterAll(() => removeHome(home));

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const asked = { model: "tiny", prompt: "Once upon a time", seed: 1, max_tokens: 900, ignore_eos: true };

/** A service with a configuration file in a folder of its own. */
async function configured(name: string, document: object, options = {}): Promise<Service & { file: string }> {
  const folder = join(home, name);
  mkdirSync(folder);
  const file = join(folder, "openclaw.json");
  writeFileSync(file, JSON.stringify(document));
  const service = await startService(path, options, file);
  onTestFinished(() => service.server.close(0));
  return { ...service, file };
}

interface Answer {
  readonly status: number;
  readonly body: {
    readonly file?: string;
    readonly error?: { readonly code: string };
    readonly options?: Readonly<Record<string, { readonly value: unknown }>>;
  };
}

interface Call {
  readonly key?: string | undefined;
  readonly body?: unknown;
}

async function call(service: Service, request: string, { key, body }: Call = {}): Promise<Answer> {
  const [method = "", to = ""] = request.split(" ");
  const answer = await fetch(service.server.url + to, {
    method,
    headers: {
      authorization: `Bearer ${key ?? service.server.apiKey?.key}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Answer["body"] };
}

describe("/admin/config", () => {
  test("shows the settings in force and where each came from, digests of keys cut short", async () => {
    const api_keys = [{ tenant: "team", key_sha256: sha256("a key of the team"), priority_min: -2 }];
    const service = await configured("shows", { max_queue_size: 7, port: 9, api_keys });
    const { status, body } = await call(service, "GET /admin/config");
    expect(status).toBe(200);
    expect(body.file).toBe(service.file);
    expect(body.options).toMatchObject({
      max_queue_size: { value: 7, source: "file", unit: "answers", live: true },
      port: { value: 0, source: "flag", live: false },
      context: { value: null, source: "default", unit: "tokens" },
      api_keys: {
        value: [
          {
            tenant: "team",
            key_sha256: `${sha256("a key of the team").slice(0, 8)}…`,
            scopes: ["inference"],
            priority_min: -2,
          },
        ],
      },
    });
  });

  test("takes what can change, says what cannot, and refuses the rest whole", async () => {
    const service = await configured("takes", { max_queue_size: 7, shutdown_grace_seconds: 3 });
    const put = (body: unknown): Promise<Answer> => call(service, "PUT /admin/config", { body });
    expect(await put({ max_queue_size: 5, threads: 2, log: { level: "debug" } })).toEqual({
      status: 200,
      body: {
        applied: [
          { name: "max_queue_size", from: 7, to: 5 },
          { name: "log.level", from: "warn", to: "debug" },
        ],
        needs_restart: [{ name: "threads", from: null, to: 2 }],
      },
    });
    const shown = await call(service, "GET /admin/config");
    expect(shown.body.options).toMatchObject({
      max_queue_size: { value: 5, source: "admin" },
      threads: { value: null, after_restart: 2 },
    });
    const refused = await put({ max_queue_size: 6, shutdown_grace: 1 });
    expect(refused).toMatchObject({
      status: 400,
      body: {
        error: {
          code: "E_CONFIG",
          param: "shutdown_grace",
          message: expect.stringContaining("shutdown_grace_seconds"),
        },
      },
    });
    expect((await put([1])).body.error).toMatchObject({ code: "E_CONFIG" });
    expect(await put({})).toMatchObject({
      body: {
        applied: [
          { name: "max_queue_size", from: 5, to: 7 },
          { name: "log.level", from: "debug", to: "warn" },
        ],
      },
    });
  });

  test("keys change at once; a key that cannot be read leaves the old ones", async () => {
    const service = await configured("keys", {});
    const keyFile = join(home, "keys", "team.key");
    writeFileSync(keyFile, "the team's own key\n", { mode: 0o600 });
    const put = (api_keys: unknown): Promise<Answer> =>
      call(service, "PUT /admin/config", { body: { api_keys } });
    const models = async (key: string): Promise<number> =>
      (await call(service, "GET /v1/models", { key })).status;

    const spaces = await put([{ tenant: "team", key_file: "team.key" }]);
    expect(spaces).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining("16 characters") } },
    });
    writeFileSync(keyFile, "the-key-of-the-team\n");
    expect((await put([{ tenant: "team", key_file: "team.key" }])).status).toBe(200);
    expect(await models("the-key-of-the-team")).toBe(200);

    const second = { tenant: "other", key_sha256: sha256("another-teams-key") };
    chmodSync(keyFile, 0o640);
    const open = await put([{ tenant: "team", key_file: "team.key" }, second]);
    expect(open.body.error).toMatchObject({
      code: "E_CONFIG",
      message: expect.stringContaining("chmod 600"),
    });
    expect(await models("the-key-of-the-team")).toBe(200);
    expect(await models("another-teams-key")).toBe(401);

    expect((await put([second])).status).toBe(200);
    expect(await models("the-key-of-the-team")).toBe(401);
    expect(await models("another-teams-key")).toBe(200);
    expect(await put([second, { ...second, tenant: "copy" }])).toMatchObject({ status: 400 });
  });
});

describe("scopes", () => {
  test("each key opens what it is for; the owner's opens everything", async () => {
    const api_keys = ["inference", "metrics", "admin"].map((scope) => {
      return { tenant: scope, key_sha256: sha256(`key-of-${scope}`), scopes: [scope] };
    });
    const service = await configured("scopes", { api_keys });
    for (const { tenant } of api_keys) {
      const key = `key-of-${tenant}`;
      expect((await call(service, "GET /v1/models", { key })).status, tenant).toBe(
        tenant === "inference" ? 200 : 403,
      );
      const admin = await call(service, "GET /admin/config", { key });
      expect(admin.status, tenant).toBe(tenant === "admin" ? 200 : 403);
      if (admin.status === 403) expect(admin.body).toMatchObject({ error: { code: "E_FORBIDDEN" } });
    }
    expect((await call(service, "GET /admin/config", { key: "wrong" })).status).toBe(401);
  });

  test("a server without authentication has no admin for whoever has no key for it", async () => {
    const api_keys = [{ tenant: "admin", key_sha256: sha256("key-of-admin"), scopes: ["admin"] }];
    const service = await configured("open", { api_keys }, { authentication: false });
    expect((await call(service, "GET /v1/models", { key: "any" })).status).toBe(200);
    expect((await call(service, "GET /admin/config", { key: "any" })).status).toBe(403);
    expect((await call(service, "GET /admin/config", { key: "key-of-admin" })).status).toBe(200);
  });
});

describe("the file", () => {
  const queueOf = async (service: Service): Promise<unknown> =>
    (await call(service, "GET /admin/config")).body.options?.["max_queue_size"]?.value;
  const becomes = async (service: Service, value: number): Promise<void> => {
    expect(
      await until(
        () => queueOf(service),
        (queue) => queue === value,
      ),
    ).toBe(value);
  };

  test("is read again when it is written, when another takes its place, and when the server is told", async () => {
    const service = await configured("file", { max_queue_size: 1 });
    const write = (queue: number, to = service.file): void =>
      writeFileSync(to, JSON.stringify({ max_queue_size: queue, threads: queue }));
    write(2);
    await becomes(service, 2);
    write(3, `${service.file}.new`);
    renameSync(`${service.file}.new`, service.file);
    await becomes(service, 3);
    rmSync(service.file);
    write(4);
    await becomes(service, 4);
    write(5);
    await service.server.reload();
    expect(await queueOf(service)).toBe(5);
    expect(service.log.at(-1)).toMatchObject({
      level: "warn",
      file: service.file,
      applied: [{ name: "max_queue_size", from: 4, to: 5 }],
      needs_restart: [{ name: "threads", from: null, to: 5 }],
    });
  });

  test.each<[string, string | Uint8Array | undefined, string]>([
    ["garbage", "}{", "E_CONFIG"],
    ["a fault", '{"max_queue_size": -1}', "E_CONFIG"],
    ["10 MB", `{"host": "${"x".repeat(10_000_000)}"}`, "E_CONFIG"],
    ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d), "E_CONFIG"],
    ["nothing", "", "E_CONFIG"],
    ["no file", undefined, "E_FILE"],
  ])(
    "%s in its place is refused with a clear error, and the old settings stay",
    async (what, content, code) => {
      const service = await configured(what.replaceAll(" ", "-"), { max_queue_size: 1 });
      if (content === undefined) rmSync(service.file);
      else writeFileSync(service.file, content);
      const line = await until(
        async () => service.log.at(-1),
        (last) => last !== undefined,
      );
      expect(line).toMatchObject({
        level: "error",
        file: service.file,
        code,
        reason: expect.stringMatching(/\.$/),
      });
      expect(JSON.stringify(line).length).toBeLessThan(2000);
      expect(await queueOf(service)).toBe(1);
      writeFileSync(service.file, '{"max_queue_size": 2}');
      await becomes(service, 2);
    },
  );
});

describe("the queue", () => {
  test("takes no more answers than may run and wait, and says when to come back", async () => {
    const service = await configured("queue", { max_queue_size: 2 });
    const leave = new AbortController();
    const first = service.client.completions.create(
      { ...asked, n: 6, stream: true },
      { signal: leave.signal },
    );
    await first;
    const refused = await service.post("/v1/completions", JSON.stringify(asked));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ error: { code: "E_OVERLOADED", type: "rate_limit_error" } });
    await call(service, "PUT /admin/config", { body: { max_queue_size: 3 } });
    const short = JSON.stringify({ ...asked, max_tokens: 1, stream: true });
    const taken = service.post("/v1/completions", short);
    leave.abort();
    expect((await taken).status).toBe(200);
    expect(await until(service.health, ({ running, waiting }) => running + waiting === 0)).toBeDefined();
    const again = await service.post("/v1/completions", JSON.stringify({ ...asked, max_tokens: 1, n: 7 }));
    expect(again.status).toBe(200);
  });

  test("a request that takes longer than it may ends with E_DEADLINE, streams too", async () => {
    const service = await configured("late", { request_timeout_seconds: 1 });
    const body = { ...asked, n: 16 };
    const whole = await service.post("/v1/completions", JSON.stringify(body));
    expect(whole.status).toBe(504);
    expect(await whole.json()).toMatchObject({ error: { code: "E_DEADLINE" } });
    const stream = await service.post("/v1/completions", JSON.stringify({ ...body, stream: true }));
    const last = (await stream.text()).trimEnd().split("\n\n").at(-1) ?? "";
    expect(JSON.parse(last.replace(/^data: /, ""))).toMatchObject({ error: { code: "E_DEADLINE" } });
    expect(await until(service.health, ({ running, waiting }) => running + waiting === 0)).toBeDefined();
  });
});
