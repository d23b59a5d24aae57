import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import OpenAI from "openai";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { bannerOf, exitOf, makeFolder, makeTinyModel, start } from "./claw.ts";

const folder = makeFolder();
let model: string;

beforeAll(() => {
  model = makeTinyModel(folder);
});

interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
  readonly banner: string;
  readonly exit: Promise<number | null>;
}

/** `claw serve` on a free port, once it has printed its banner. */
async function serve(...args: string[]): Promise<Serving> {
  const env = { XDG_STATE_HOME: join(folder, "it's a state") };
  const child = start(["serve", "--model", model, "--port", "0", "--device", "reference", ...args], { env });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exit = exitOf(child);
  return { child, exit, ...(await bannerOf(child)) };
}

const curlMissing = spawnSync("curl", ["--version"]).status !== 0;

describe("the banner", () => {
  test("names the model, the format, the device, the threads and the address", async () => {
    const { banner, url } = await serve("--format", "i4");
    expect(banner).toMatch(/^OpenClaw .+ serves tiny \(i4 on reference, 1 thread, 1024 tokens of context\)/);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  test.skipIf(curlMissing)("holds a curl that works as printed (needs curl)", async () => {
    const { banner } = await serve();
    const command = banner.slice(banner.indexOf("curl "));
    expect(command).toContain("$(cat ");
    const shell = spawn("sh", ["-c", command.replace("curl ", "curl -sS ")]);
    let answer = "";
    for await (const part of shell.stdout) answer += part;
    expect(JSON.parse(answer)).toMatchObject({ object: "chat.completion", model: "tiny" });
  });

  test("of a server without authentication has no key, and clients need none", async () => {
    const { banner, url } = await serve("--no-auth");
    expect(banner).not.toContain("Bearer");
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
    expect((await client.models.list()).data).toHaveLength(1);
  });
});

describe("signals", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s lets a running answer end, then exits with 0",
    async (signal) => {
      const { child, url, exit } = await serve("--no-auth");
      const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
      const request = { model: "tiny", prompt: "Once", max_tokens: 100, seed: 1, stream: true } as const;
      const stream = await client.completions.create({ ...request });
      child.kill(signal);
      const chunks = await Array.fromAsync(stream);
      expect(chunks.at(-1)?.choices[0]?.finish_reason).toBeTruthy();
      expect(await exit).toBe(0);
    },
  );

  test("a server that stops takes nothing new and says so, and running answers end", async () => {
    const { child, url, exit } = await serve("--no-auth", "--shutdown-grace-seconds", "60");
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
    const request = { model: "tiny", prompt: "Once", max_tokens: 300, ignore_eos: true, seed: 1 } as const;
    const stream = await client.completions.create({ ...request, stream: true });
    child.kill("SIGTERM");
    await new Promise((resolve) => child.stderr?.once("data", resolve));
    const health = await fetch(`${url}/health`);
    expect({ status: health.status, body: await health.json() }).toEqual({
      status: 503,
      body: { status: "draining" },
    });
    const refused = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ error: { code: "E_SHUTDOWN" } });
    const chunks = await Array.fromAsync(stream);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("length");
    expect(await exit).toBe(0);
  });

  test("answers that do not end within the grace end with E_SHUTDOWN", async () => {
    const { child, url, exit } = await serve("--no-auth", "--shutdown-grace-seconds", "0");
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
    const request = { model: "tiny", prompt: "Once", max_tokens: 1000, ignore_eos: true, n: 16 } as const;
    const stream = await client.completions.create({ ...request, stream: true });
    child.kill("SIGTERM");
    await expect(Array.fromAsync(stream)).rejects.toMatchObject({ code: "E_SHUTDOWN" });
    expect(await exit).toBe(0);
  });

  test("a second signal does not wait", async () => {
    const { child, url, exit } = await serve("--no-auth");
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
    const request = {
      model: "tiny",
      prompt: "Once",
      max_tokens: 1000,
      ignore_eos: true,
      n: 16,
      stream: true,
    } as const;
    const stream = await client.completions.create({ ...request });
    child.kill("SIGTERM");
    await new Promise((resolve) => child.stderr?.once("data", resolve));
    child.kill("SIGTERM");
    expect(await exit).toBe(1);
    await expect(Array.fromAsync(stream)).rejects.toThrow();
  });
});

test("requests are logged to standard error when asked for, without the key", async () => {
  const { child, url, exit } = await serve("--verbose");
  let log = "";
  child.stderr?.on("data", (part: Buffer) => {
    log += part.toString();
  });
  await fetch(`${url}/v1/models`, { headers: { authorization: "Bearer secret" } });
  child.kill("SIGTERM");
  expect(await exit).toBe(0);
  expect(log).toContain("/v1/models");
  expect(log).not.toContain("secret");
});
