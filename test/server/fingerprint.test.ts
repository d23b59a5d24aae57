import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openModel } from "../../src/model/mod.ts";
import { createChatTemplate } from "../../src/model/template/mod.ts";
import { chat } from "../../src/server/kinds.ts";
import { fingerprintOf, modelDigest } from "../../src/server/mod.ts";
import type { ServedModel } from "../../src/server/models.ts";
import { makeHome, makeTinyModel, removeHome, startService } from "./service.ts";

let home: string;
let path: string;

beforeAll(() => {
  home = makeHome();
  path = makeTinyModel(home);
});

afterAll(() => removeHome(home));

function digestOf(file: string): string {
  const model = openModel(file);
  const digest = modelDigest(model);
  model.close();
  return digest;
}

test("the digest is that of the header and the size, whatever the file is called", () => {
  const copy = join(home, "copy.gguf");
  copyFileSync(path, copy);
  const { gguf, close } = openModel(path);
  close();
  const bytes = readFileSync(path);
  const expected = createHash("sha256")
    .update(`${bytes.length}\n`)
    .update(bytes.subarray(0, gguf.dataOffset))
    .digest("hex");
  expect(digestOf(path)).toBe(expected);
  expect(digestOf(copy)).toBe(expected);
  appendFileSync(copy, "\0");
  expect(digestOf(copy)).not.toBe(expected);
  bytes[bytes.indexOf("llama-tiny")] = "L".charCodeAt(0);
  writeFileSync(copy, bytes);
  expect(digestOf(copy)).not.toBe(expected);
});

test("answers carry what could change them: version, weights, keys and values, and the model", async () => {
  const fingerprints = new Set<string | undefined>();
  for (const options of [{}, { kvFormat: "f16" }, { format: "i8" }] as const) {
    const service = await startService(path, options);
    const info = await service.server.ready;
    const answer = await service.client.completions.create({ model: "tiny", prompt: "a", max_tokens: 1 });
    expect(answer.system_fingerprint).toBe(fingerprintOf("0.0.0", info, digestOf(path)));
    fingerprints.add(answer.system_fingerprint);
    await service.server.close(0);
  }
  expect(fingerprints.size).toBe(3);
  const [info, digest] = [{ format: "f16", kvFormat: "f32" } as const, "0123456789abcdef01"];
  expect(fingerprintOf("1.2.3", info, digest)).toBe("openclaw-1.2.3-f16-kv_f32-0123456789abcdef");
});

test("a chat tells the day that its template was told, and takes it back", async () => {
  const service = await startService(path);
  const ask = async (extra: object): Promise<{ openclaw: object }> => {
    const body = JSON.stringify({ messages: [{ role: "user", content: "Hi" }], max_tokens: 1, ...extra });
    return (await (await service.post("/v1/chat/completions", body)).json()) as { openclaw: object };
  };
  const day = (): string => new Date().toISOString().slice(0, 10);
  const before = day();
  const { openclaw } = await ask({ seed: 1 });
  expect([before, day()].map((date) => ({ seed: 1, date }))).toContainEqual(openclaw);
  expect((await ask({ seed: 1, openclaw: { date: "2024-02-29" } })).openclaw).toEqual({
    seed: 1,
    date: "2024-02-29",
  });
  await service.server.close(0);
});

test("the day decides what a template makes of it, and the time of day nothing", () => {
  const { tokenizer, close } = openModel(path);
  close();
  const template = createChatTemplate({
    template: "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}|{{ messages[0].content }}",
    bosToken: "",
    eosToken: "",
    controlSpellings: [],
  });
  const model = { tokenizer, template, context: 100, textBytesMax: 1000 } as unknown as ServedModel;
  const tokenize = (date: string | undefined, today: string): ReturnType<typeof chat.tokenize> =>
    chat.tokenize({ ...chat.read({ messages: [{ role: "user", content: "Hi" }] }), date }, model, today);
  const today = tokenize(undefined, "2024-02-29");
  expect(tokenizer.decode(today.prompts[0] ?? [])).toContain("2024-02-29 00:00:00|Hi");
  expect(today.date).toBe("2024-02-29");
  expect(tokenize("2024-02-29", "2025-01-01")).toEqual(today);
  expect(tokenize(undefined, "2025-01-01")).not.toEqual(today);
});
