import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TokenFolder } from "../../src/capability/mod.ts";
import { claw, makeFolder, repository } from "./claw.ts";

const folder = join(makeFolder(), "tokens");
const run = (...args: string[]) => claw(["token", ...args, "--folder", folder]);

test("a token is minted, narrowed, looked at and revoked; keys are rotated and removed", async () => {
  const early = await run("mint", "--tenant", "team", "--model", "tiny");
  expect(early).toMatchObject({ status: 1, stderr: expect.stringContaining("claw token keys rotate") });
  const rotated = await run("keys", "rotate", "--json");
  expect(JSON.parse(rotated.stdout)).toMatchObject({ folder, keys: [{ id: 1 }] });
  expect(statSync(join(folder, "root.key")).mode & 0o777).toBe(0o600);
  expect(statSync(folder).mode & 0o777).toBe(0o700);

  const minted = await run(
    "mint",
    "--tenant",
    "team",
    "--model",
    "tiny,other",
    "--budget",
    "1000",
    "--expires",
    "1h",
  );
  expect(minted).toMatchObject({ status: 0, stderr: "" });
  const narrowed = await claw(
    ["token", "attenuate", "-", "--folder", folder, "--model", "tiny", "--rate", "10/60", "--json"],
    { input: minted.stdout },
  );
  const { token, revocationIds } = JSON.parse(narrowed.stdout) as { token: string; revocationIds: string[] };
  expect(revocationIds).toHaveLength(2);

  const seen = await run("inspect", token);
  expect(seen.stdout).toContain('grant_inference({"*"}, {"other", "tiny"}, {,}, {,});');
  expect(seen.stdout).toContain('check if recent("requests", 1, 60, $n), $n < 10;');
  const revoked = await run("revoke", token, "--json");
  expect(JSON.parse(revoked.stdout)).toEqual({ revoked: revocationIds[1] });
  expect(readFileSync(join(folder, "revoked"), "utf8")).toBe(`${revocationIds[1]}\n`);
  expect((await run("inspect", token)).stdout).toContain("revoked:");

  expect((await run("keys", "rotate")).status).toBe(0);
  expect((await run("inspect", token)).status).toBe(0);
  expect((await run("keys", "remove", "1")).status).toBe(0);
  expect(await run("inspect", token)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("root key 1"),
  });
});

test("a file of grants says what sandboxes may do, and narrows it", async () => {
  await run("keys", "rotate");
  const grants = (name: string, document: object): string => {
    const file = join(folder, name);
    writeFileSync(file, JSON.stringify(document));
    return file;
  };
  const files = [{ modes: ["read"], paths: ["/srv/data"] }];
  const all = grants("all.json", { files, syscalls: ["read", "openat"] });
  const minted = await run("mint", "--tenant", "team", "--grants", all);
  expect(minted).toMatchObject({ status: 0, stderr: "" });
  const less = grants("less.json", { syscalls: ["read"] });
  const narrowed = await run("attenuate", minted.stdout.trim(), "--grants", less);
  const { stdout } = await run("inspect", narrowed.stdout.trim());
  expect(stdout).toContain('grant_file({"read"}, {"/srv/data"});');
  expect(stdout).toMatch(/grant_syscall\(\{"(?:read", "openat|openat", "read)"\}\);/);
  expect(stdout).toMatch(/Block 1[\s\S]*check if .* or syscall\(\$s\), \{"read"\}\.contains\(\$s\);/);
  const odd = grants("odd.json", { syscalls: ["read"], network: [] });
  expect(await run("mint", "--tenant", "team", "--grants", odd)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('"network"; known are sql, connect, files, syscalls'),
  });
  writeFileSync(odd, "{");
  expect((await run("mint", "--tenant", "team", "--grants", odd)).stderr).toContain("is no JSON");
  expect((await run("mint", "--tenant", "team", "--grants", join(folder, "none"))).status).toBe(1);
});

test("a root key that others can read is not used, and wrong words are refused", async () => {
  await run("keys", "rotate");
  chmodSync(join(folder, "root.key"), 0o640);
  const open = await run("mint", "--tenant", "team", "--scope", "metrics");
  expect(open).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("open to other users; chmod 600 it"),
  });
  chmodSync(join(folder, "root.key"), 0o600);
  for (const args of [
    ["mint", "--tenant", "team"],
    ["mint", "--model", "tiny"],
    ["mint", "--tenant", "team", "--model", "tiny", "--expires", "soon"],
    ["keys", "burn"],
    ["inspect", "nonsense"],
    ["revoke", "abc"],
  ]) {
    expect((await run(...args)).status, args.join(" ")).toBe(2);
  }
  expect((await claw(["token", "--help"])).stdout).toContain("claw token attenuate TOKEN");
});

/** A command whose files may have so many blocks of 512 bytes. */
function limited(blocks: number, ...args: readonly string[]): SpawnSyncReturns<string> {
  const shell = ["-c", `ulimit -f ${blocks}; exec "$@"`, "sh", join(repository, "claw"), ...args];
  // Nor would what it keeps of its own sources be whole.
  const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" };
  return spawnSync("sh", shell, { encoding: "utf8", env });
}

test("where the disk is full, a rotation leaves the keys as they are", () => {
  const full = join(folder, "rotated");
  mkdirSync(full, { recursive: true });
  const keys = Array.from({ length: 7 }, (_, n) => `${n + 1} ed25519/${"ab".repeat(32)}\n`).join("");
  writeFileSync(join(full, "public-keys"), keys);
  const { status, stderr } = limited(1, "token", "keys", "rotate", "--folder", full);
  expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("file too large") });
  expect(readdirSync(full)).toEqual(["public-keys"]);
  expect(readFileSync(join(full, "public-keys"), "utf8")).toBe(keys);
});

test("where the disk is full in the middle of an id, that is refused, and the list goes on to be read and added to", () => {
  const full = join(folder, "full");
  mkdirSync(full, { recursive: true });
  const ids = Array.from({ length: 7 }, (_, n) => `${String(n).padStart(128, "0")}\n`).join("");
  writeFileSync(join(full, "revoked"), ids);
  // 1,024 bytes are the most that the system lets it write, and the next id ends at 1,032.
  const { status, stderr } = limited(2, "token", "revoke", "f".repeat(128), "--folder", full);
  expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("file too large") });
  expect(readFileSync(join(full, "revoked"), "utf8")).toBe(`${ids}${"f".repeat(1024 - ids.length)}`);
  const list = new TokenFolder(full);
  expect(list.revoke(["e".repeat(128)]).added).toBe(1);
  const expected = [`${"0".repeat(127)}6`, "f".repeat(128), "e".repeat(128)];
  expect(expected.filter((id) => !list.revoked().has(id))).toEqual([]);
  expect(list.revoked().has("d".repeat(128))).toBe(false);
});
