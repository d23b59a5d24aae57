import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { availableMemory } from "../../src/engine/memory.ts";
import { createRuntime } from "../../src/engine/mod.ts";
import { KV_PAGE_TOKENS, nativeAvailable, openNativeDevice, ReferenceDevice } from "../../src/kernels/mod.ts";
import { tinyModel } from "./tiny.ts";

const MB = 1024 * 1024;

/** A folder with the files a system would have below `/`. */
function system(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "claw-memory-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

const meminfo = (available: number): string =>
  `MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:   ${available * 1024} kB\n`;

test("without control groups it is what the system has", () => {
  expect(availableMemory(system({ "proc/meminfo": meminfo(900) }))).toBe(900 * MB);
});

test("version 2: the tightest group on the way to the root counts, with the files that would give way", () => {
  const root = system({
    "proc/meminfo": meminfo(900),
    "proc/self/cgroup": "0::/outer/inner\n",
    "sys/fs/cgroup/outer/memory.max": `${600 * MB}\n`,
    "sys/fs/cgroup/outer/memory.current": `${250 * MB}\n`,
    "sys/fs/cgroup/outer/memory.stat": `anon 1\ninactive_file ${50 * MB}\nactive_file ${70 * MB}\n`,
    "sys/fs/cgroup/outer/inner/memory.max": "max\n",
    "sys/fs/cgroup/outer/inner/memory.current": `${100 * MB}\n`,
  });
  expect(availableMemory(root)).toBe(400 * MB);
});

test("version 2 in a container that sees its own group as the root", () => {
  const root = system({
    "proc/meminfo": meminfo(900),
    "proc/self/cgroup": "0::/../../somewhere\n",
    "sys/fs/cgroup/memory.max": `${200 * MB}\n`,
    "sys/fs/cgroup/memory.current": `${80 * MB}\n`,
  });
  expect(availableMemory(root)).toBe(120 * MB);
});

test("version 1, whose limit of none is larger than any memory", () => {
  const root = system({
    "proc/meminfo": meminfo(900),
    "proc/self/cgroup": "7:cpu,cpuacct:/other\n5:memory:/slice\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
    "sys/fs/cgroup/memory/slice/memory.limit_in_bytes": `${300 * MB}\n`,
    "sys/fs/cgroup/memory/slice/memory.usage_in_bytes": `${290 * MB}\n`,
    "sys/fs/cgroup/memory/slice/memory.stat": `inactive_file 7\ntotal_inactive_file ${5 * MB}\n`,
  });
  expect(availableMemory(root)).toBe(15 * MB);
});

test("a group that is over its limit leaves nothing; what nobody says is undefined", () => {
  const root = system({
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/memory.max": "1000\n",
    "sys/fs/cgroup/memory.current": "2000\n",
  });
  expect(availableMemory(root)).toBe(0);
  expect(availableMemory(system({}))).toBeUndefined();
});

test("here it is something below all memory", () => {
  const here = availableMemory();
  expect(here === undefined || (here > 0 && here <= totalmem())).toBe(true);
});

test("the KV cache takes no more than is free: fewer pages by itself, E_MEMORY where more was asked for", async () => {
  const { model, remove } = tinyModel();
  onTestFinished(remove);
  const { layers, kvHeads, headDim } = model.description;
  const pageBytes = layers * kvHeads * headDim * KV_PAGE_TOKENS * 2 * 2;
  const start = (options: object): ReturnType<typeof createRuntime> =>
    createRuntime(new ReferenceDevice(), model, {
      format: "i8",
      batch: 2,
      rows: 8,
      context: 256,
      ...options,
    });
  expect((await start({})).pages).toBe(16);
  expect(await start({ memoryAvailable: () => 3.5 * pageBytes })).toMatchObject({ pages: 3, context: 96 });
  await expect(start({ memoryAvailable: () => pageBytes - 1 })).rejects.toMatchObject({ code: "E_MEMORY" });
  const kvBytes = 8 * pageBytes;
  expect(await start({ kvBytes, memoryAvailable: () => kvBytes })).toMatchObject({ pages: 8 });
  await expect(start({ kvBytes, memoryAvailable: () => kvBytes - 1 })).rejects.toMatchObject({
    code: "E_MEMORY",
  });
});

const native = nativeAvailable();

test.skipIf(!native)("locked memory is out of swap, or refused with its own code", () => {
  const locked = (): number =>
    Number(/^VmLck:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  const device = openNativeDevice({ threads: 1, lockMemory: true });
  onTestFinished(() => device.close());
  const before = locked();
  try {
    device.allocateKv({ pages: 8, layers: 2, heads: 2, headDim: 64, format: "f16" });
  } catch (error) {
    // Where the limit is small, as without privileges.
    expect(error).toMatchObject({ code: "E_MEMORY_LOCK", message: expect.stringContaining("KV cache") });
    return;
  }
  expect(locked() - before).toBe(device.memory().kv / 1024);
});
