import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Vault } from "../../src/audit/vault.ts";
import { readOrMakeVaultKey, readVaultKey } from "../../src/audit/vault-key.ts";

const home = mkdtempSync(join(tmpdir(), "claw-vault-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const [first, second] = ["aa".repeat(16), "aab".repeat(10).padEnd(32, "0")];
const asked = { salt: "01".repeat(32), outputSalt: "02".repeat(32), prompt: [1, 77_777, 3] };
let count = 0;

function makeVault(): { vault: Vault; folder: string; keyFile: string } {
  const folder = join(home, `vault-${count++}`);
  const keyFile = `${folder}.key`;
  return { vault: new Vault(folder, readOrMakeVaultKey(keyFile)), folder, keyFile };
}

test("gives back what it keeps, also to another process with its key, and tells nothing to whoever has none", async () => {
  const { vault, folder, keyFile } = makeVault();
  await vault.put(first, "open", asked);
  await vault.put(first, "close", { tokens: [5, 6] });
  const again = new Vault(folder, readVaultKey(keyFile));
  expect(await again.get(first, "open")).toEqual(asked);
  expect(await again.get(first, "close")).toEqual({ tokens: [5, 6] });
  expect(await again.get(second, "open")).toBeUndefined();
  expect(readFileSync(join(folder, "aa", `${first}.open`)).includes("77777")).toBe(false);
  await expect(new Vault(folder, new Uint8Array(32)).get(first, "open")).rejects.toThrow("another key");
  await expect(vault.put(first, "open", asked)).rejects.toMatchObject({ code: "E_LEDGER" });
});

test("every flipped bit and every exchanged or shortened file is found", async () => {
  const { vault, folder } = makeVault();
  for (const stream of [first, second]) await vault.put(stream, "open", asked);
  await vault.put(first, "close", { tokens: [1] });
  await vault.put(second, "close", { tokens: [2] });
  const path = join(folder, "aa", `${first}.close`);
  const bytes = readFileSync(path);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = Buffer.from(bytes);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    writeFileSync(path, altered);
    await expect(vault.get(first, "close")).rejects.toMatchObject({ code: "E_LEDGER" });
  }
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    await expect(vault.get(first, "close")).rejects.toMatchObject({ code: "E_LEDGER" });
  }
  renameSync(join(folder, "aa", `${second}.close`), path);
  await expect(vault.get(first, "close")).rejects.toThrow("altered");
});

test("forgets one stream, or all that have had their time", async () => {
  const { vault, folder } = makeVault();
  for (const stream of [first, second]) {
    await vault.put(stream, "open", asked);
    await vault.put(stream, "close", { tokens: [] });
  }
  expect(await vault.forget(first)).toBe(true);
  expect(await vault.forget(first)).toBe(false);
  expect(await vault.get(first, "open")).toBeUndefined();
  expect(await vault.get(second, "open")).toEqual(asked);
  utimesSync(join(folder, "aa", `${second}.open`), 1000, 1000);
  expect(await vault.forgetBefore(2_000_000)).toBe(1);
  expect(await vault.get(second, "open")).toBeUndefined();
  expect(await vault.get(second, "close")).toEqual({ tokens: [] });
  expect(await vault.forgetBefore(Date.now() + 60_000)).toBe(1);
  expect(readdirSync(folder)).toEqual([]);
});

test("keeps no answer of a stream that was forgotten while it ran", async () => {
  const { vault } = makeVault();
  await vault.put(first, "open", asked);
  expect(await vault.forget(first)).toBe(true);
  await vault.put(first, "close", { tokens: [1, 2] });
  expect(await vault.get(first, "close")).toBeUndefined();
  expect(await vault.forget(first)).toBe(false);
});

test("takes no key that others may read, and none that is none", () => {
  const { keyFile } = makeVault();
  chmodSync(keyFile, 0o644);
  expect(() => readOrMakeVaultKey(keyFile)).toThrow("chmod 600");
  chmodSync(keyFile, 0o600);
  writeFileSync(keyFile, "no key");
  expect(() => readVaultKey(keyFile)).toThrow("holds no key");
  expect(() => readVaultKey(`${keyFile}.missing`)).toThrow("missing");
});
