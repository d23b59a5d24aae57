/** `claw serve` under a trust policy, and a real server whose resident weights change under it. */

import type { ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { at } from "../../src/base/mod.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { openModelFile } from "../../src/model/mod.ts";
import { bannerOf, claw, makeFolder, makeTinyModel, type Outcome, start } from "./claw.ts";
import { keptWeights, residentWeights } from "./damaged-weights.ts";

const folder = makeFolder();
const env = { XDG_STATE_HOME: join(folder, "state"), XDG_CACHE_HOME: join(folder, "cache") };
const config = join(folder, "claw.json");
let model: string;

beforeAll(async () => {
  model = makeTinyModel(folder);
  expect((await claw(["model", "keygen", join(folder, "release.pem")])).status).toBe(0);
  expect((await claw(["model", "seal", model, "--key", join(folder, "release.pem")])).status).toBe(0);
});

const flags = (): string[] => ["serve", "--model", model, "--port", "0", "--no-auth"];

function trust(rule: object): void {
  writeFileSync(config, JSON.stringify({ seal: { trust: [rule] } }));
}

/** The URL of a server that has printed its banner. */
async function serving(...more: string[]): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = start([...flags(), ...more], { env });
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, url: (await bannerOf(child)).url };
}

const refused = (): Promise<Outcome> => claw([...flags(), "--config", config], { env });

async function complete(url: string): Promise<Response> {
  const body = JSON.stringify({ model: "tiny", prompt: "a", max_tokens: 2 });
  return fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
}

describe("the server", () => {
  test("answers with a model that its policy sanctions, and starts with no other", {
    timeout: 120_000,
  }, async () => {
    trust({ key_file: "release.pem.pub", model: "ti*" });
    const { url } = await serving("--config", config);
    expect((await complete(url)).status).toBe(200);
    trust({ key_file: "release.pem.pub", model: "other" });
    expect((await refused()).stderr).toMatch(/may not be served: no rule/);
    trust({ key_file: "release.pem.pub", root: "0".repeat(64) });
    expect(await refused()).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/may not sanction the root/),
    });
    writeFileSync(
      config,
      JSON.stringify({ seal: { bundle: "none.sig", trust: [{ key_file: "release.pem.pub" }] } }),
    );
    expect(await refused()).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/has no seal/),
    });
    trust({ model: "*" });
    expect(await refused()).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/key_file is missing/),
    });
  });

  test("finds an altered tensor though its packed weights were kept", { timeout: 120_000 }, async () => {
    const { child } = await serving();
    if (nativeAvailable()) await keptWeights(env.XDG_CACHE_HOME);
    child.kill("SIGTERM");
    trust({ key_file: "release.pem.pub" });
    const { gguf, close } = openModelFile(model);
    close();
    const tensor = [...gguf.tensors.values()].find(({ name }) => name === "blk.0.ffn_down.weight");
    const whole = readFileSync(model);
    const place = (tensor?.offset ?? 0) + 1234;
    writeFileSync(model, whole.with(place, at(whole, place) ^ 16));
    expect(await refused()).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/the tensor blk\.0\.ffn_down\.weight differs/),
    });
    writeFileSync(model, whole);
  });
});

const scrubbed = nativeAvailable() && process.platform === "linux";
const notScrubbed = scrubbed ? "" : " (skipped: needs the native core and /proc)";

describe.skipIf(!scrubbed)(`resident weights${notScrubbed}`, () => {
  test("in which a bit flips end the server's answers, with a code and a metric", {
    timeout: 120_000,
  }, async () => {
    const { child, url } = await serving("--scrub-bytes-per-second", "1073741824", "--open-metrics");
    const kept = await keptWeights(env.XDG_CACHE_HOME);
    expect((await complete(url)).status).toBe(200);
    const weights = residentWeights(child.pid ?? 0, kept);
    expect(weights.places).toBeGreaterThanOrEqual(1);
    weights.damage();
    for (let tries = 0; tries < 400 && (await fetch(`${url}/health`)).ok; tries++) await sleep(25);
    const health = await fetch(`${url}/health`);
    expect([health.status, await health.text()]).toEqual([503, expect.stringMatching(/changed in memory/)]);
    const answer = await complete(url);
    expect([answer.status, await answer.text()]).toEqual([503, expect.stringMatching(/E_WEIGHTS_DAMAGED/)]);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/^claw:weights_damaged_total\S* 1$/m);
    expect(Number(/^claw:weights_scrubbed_bytes_total\S* (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(1e6);
  });
});
