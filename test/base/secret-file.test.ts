import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeSecretFile } from "../../src/base/files/mod.ts";

const RACERS = 8;
const ROUNDS = 20;
const KEY_BYTES = 200_000;
const source = pathToFileURL(join(import.meta.dirname, "../../src/base/files/mod.ts"));

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-secret-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a secret is its owner's alone, and one that is there stays", () => {
  const path = join(folder, "key");
  expect(makeSecretFile(path, () => "first")).toBe(true);
  expect(makeSecretFile(path, () => "second")).toBe(false);
  expect(readFileSync(path, "utf8")).toBe("first");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(() => makeSecretFile(join(folder, "missing", "key"), () => "")).toThrow("ENOENT");
  expect(readdirSync(folder)).toEqual(["key"]);
});

test("of processes that start at once one makes it, and each reads the whole of it", async () => {
  const script = `
    import { readFileSync } from "node:fs";
    import { makeSecretFile } from ${JSON.stringify(source.href)};
    const made = [];
    for (let round = 0; round < ${ROUNDS}; round++) {
      const path = ${JSON.stringify(join(folder, "race-"))} + round;
      const own = makeSecretFile(path, () => String(process.pid).padEnd(${KEY_BYTES}, "."));
      const read = readFileSync(path, "utf8");
      if (read.length !== ${KEY_BYTES}) throw new Error("half a secret");
      made.push(own);
    }
    process.stdout.write(JSON.stringify(made));`;
  const race = async (): Promise<boolean[]> => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    child.stdout.on("data", (part: Buffer) => {
      said += part.toString();
    });
    await once(child, "close");
    return JSON.parse(said) as boolean[];
  };
  const all = await Promise.all(Array.from({ length: RACERS }, race));
  for (let round = 0; round < ROUNDS; round++) {
    expect(all.filter((made) => made[round])).toHaveLength(1);
  }
  expect(readdirSync(folder).filter((name) => name.startsWith("race-"))).toHaveLength(ROUNDS);
});
