import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { claw, makeFolder, makeTinyModel, repository } from "./claw.ts";

const native = nativeAvailable();
const noNative = native ? "" : " (skipped: the native core is not built)";

const folder = makeFolder();
const model = makeTinyModel(folder);
const run = ["run", "Once", "--model", model, "--max-tokens", "4", "--temperature", "0", "--json"];

interface Run {
  readonly tokens: readonly number[];
  readonly weights: "cache" | "model";
}

/** The environment of a user whose caches are empty, and where their packed weights will lie. */
function freshUser(name: string): { readonly env: { XDG_CACHE_HOME: string }; readonly packed: string } {
  const home = join(folder, name);
  return { env: { XDG_CACHE_HOME: home }, packed: join(home, "openclaw", "packed") };
}

async function ran(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Run> {
  const { status, stdout, stderr } = await claw([...run, ...args], { env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Run;
}

describe.skipIf(!native)(`the cache of packed weights${noNative}`, () => {
  test("is used from the second start on, listed, and cleared", async () => {
    const { env, packed } = freshUser("usual");
    const first = await ran([], env);
    const second = await ran([], env);
    expect([first.weights, second.weights]).toEqual(["model", "cache"]);
    expect(second.tokens).toEqual(first.tokens);
    const listed = JSON.parse((await claw(["cache", "list", "--json"], { env })).stdout) as object;
    expect(listed).toMatchObject({ folder: packed, entries: [{ model, format: "i8" }] });
    expect((await claw(["cache", "list"], { env })).stdout).toContain(`${model} as i8`);
    expect((await claw(["doctor"], { env })).stdout).toContain(packed);
    expect((await claw(["cache", "clear"], { env })).stdout).toMatch(/^Removed 1 file, /);
    expect(readdirSync(packed)).toEqual([]);
    const cleared = JSON.parse((await claw(["cache", "clear", "--json"], { env })).stdout) as object;
    expect(cleared).toMatchObject({ folder: packed, files: 0, bytes: 0 });
  });

  test("is left alone with --no-cache", async () => {
    const { env, packed } = freshUser("none");
    expect((await ran(["--no-cache"], env)).weights).toBe("model");
    expect((await ran(["--no-cache"], env)).weights).toBe("model");
    expect(existsSync(packed)).toBe(false);
  });

  test("may be filled by two processes at once", async () => {
    const { env, packed } = freshUser("two");
    const both = await Promise.all([ran([], env), ran([], env), ran([], env)]);
    for (const { tokens } of both) expect(tokens).toEqual(both[0]?.tokens);
    expect(readdirSync(packed)).toHaveLength(1);
    expect(await ran([], env)).toMatchObject({ weights: "cache", tokens: both[0]?.tokens });
  });

  test("on a full disk is noted and done without", async () => {
    const { env, packed } = freshUser("full");
    const plain = await ran(["--no-cache"], env);
    // Half a packed model fits into a file.
    const command = `ulimit -f 200; exec "$@"`;
    const child = spawn("sh", ["-c", command, "sh", join(repository, "claw"), ...run], {
      env: { ...process.env, ...env },
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect(status).toBe(0);
    expect(stderr).toMatch(/packed weights cannot be kept in .*: EFBIG/);
    expect((JSON.parse(stdout) as Run).tokens).toEqual(plain.tokens);
    expect(readdirSync(packed)).toEqual([]);
  });
});
