import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { makeHome, makeTinyModel, removeHome, startService } from "./service.ts";

let home: string;
let path: string;

beforeAll(() => {
  home = makeHome();
  path = makeTinyModel(home);
});

afterAll(() => removeHome(home));

async function failure(promise: Promise<unknown>): Promise<ClawError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(ClawError);
  return thrown as ClawError;
}

test("the key is made once, for this user only, and a file that was open is closed", async () => {
  const first = await startService(path);
  const { key, file } = first.server.apiKey!;
  expect(key).toMatch(/^claw-[\w-]{43}$/);
  expect(file).toBe(join(home, "state", "openclaw", "api-key"));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(join(home, "state", "openclaw")).mode & 0o777).toBe(0o700);
  expect(readFileSync(file, "utf8").trim()).toBe(key);
  await first.server.close(0);
  chmodSync(file, 0o644);
  const second = await startService(path);
  expect(second.server.apiKey).toMatchObject({ key, warning: expect.stringContaining(file) });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await second.server.close(0);
  writeFileSync(file, "short\n");
  expect(await failure(startService(path))).toMatchObject({
    code: "E_STATE_DIR",
    message: expect.stringContaining(file),
  });
});

test("a taken port, a folder that cannot be one, and an open door are refused with their names", async () => {
  process.env["XDG_STATE_HOME"] = join(home, "other");
  const running = await startService(path);
  const port = Number(new URL(running.server.url).port);
  const taken = await failure(startService(path, { port }));
  expect(taken).toMatchObject({ code: "E_PORT_IN_USE", message: expect.stringContaining(String(port)) });
  await running.server.close(0);

  writeFileSync(join(home, "a-file"), "");
  process.env["XDG_STATE_HOME"] = join(home, "a-file");
  const blocked = await failure(startService(path));
  expect(blocked).toMatchObject({
    code: "E_STATE_DIR",
    message: expect.stringContaining(join(home, "a-file")),
  });

  const open = await failure(startService(path, { host: "0.0.0.0", authentication: false }));
  expect(open).toMatchObject({ code: "E_HOST", message: expect.stringContaining("0.0.0.0") });
});

test("without authentication no key is made, and every client is answered", async () => {
  process.env["XDG_STATE_HOME"] = join(home, "a-file");
  const { server } = await startService(path, { authentication: false });
  expect(server.apiKey).toBeUndefined();
  expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
  await server.close(0);
});
