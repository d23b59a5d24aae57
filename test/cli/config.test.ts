import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { claw, makeFolder } from "./claw.ts";

const folder = makeFolder();

function write(name: string, content: string): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

test("config schema prints a schema of draft 2020-12", async () => {
  const { status, stdout } = await claw(["config", "schema"]);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    properties: { max_batch_size: { minimum: 1, maximum: 512 } },
  });
});

test("config check says that a file is valid, or names every fault with its place", async () => {
  const good = write("good.json", '{"max_batch_size": 4, "log": {"level": "info"}}');
  expect(await claw(["config", "check", good])).toEqual({
    status: 0,
    stdout: `${good} is valid.\n`,
    stderr: "",
  });
  const bad = write("bad.json", '{"max_batch_sise": 4, "log": {"level": "loud"}}');
  const plain = await claw(["config", "check", bad]);
  expect(plain.status).toBe(2);
  expect(plain.stderr).toContain("max_batch_sise is not known; did you mean max_batch_size?");
  expect(plain.stderr).toContain('log.level is "loud"; one of error, warn, info, debug was expected');
  const json = await claw(["config", "check", "--json", bad]);
  expect(json.status).toBe(2);
  expect(JSON.parse(json.stdout)).toMatchObject({
    valid: false,
    faults: [{ path: "max_batch_sise" }, { path: "log.level" }],
  });
});

test("serve refuses a file that is not valid, naming file and fault", async () => {
  const file = write("wrong.json", '{\n  "port": 1,\n  port\n}');
  const { status, stderr } = await claw(["serve", "--config", file]);
  expect(status).toBe(2);
  expect(stderr).toContain(file);
  expect(stderr).toContain("line 3 column 3");
  const { stderr: missing } = await claw(["serve", "--config", join(folder, "none.json")]);
  expect(missing).toContain("ENOENT");
});
