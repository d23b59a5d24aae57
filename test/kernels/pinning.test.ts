/** Where compute threads may run, as the system says it. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { nativeAvailable, openNativeDevice, type ThreadPinning } from "../../src/kernels/mod.ts";

const TASKS = "/proc/self/task";
const testable = nativeAvailable() && existsSync(TASKS);

/** The processors that each thread of this process may use, by its id. */
function affinities(): Map<string, string> {
  return new Map(
    readdirSync(TASKS).map((id) => {
      const status = readFileSync(`${TASKS}/${id}/status`, "utf8");
      return [id, /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? ""];
    }),
  );
}

/** The processors that this process may use: their list as the system writes it, and how many they are. */
const own = testable ? (affinities().get(`${process.pid}`) ?? "") : "";
const cores = own.split(",").reduce((sum, range) => {
  const [first = 0, last = first] = range.split("-").map(Number);
  return sum + last - first + 1;
}, 0);

/** Those of the threads that a device starts. */
function ofDevice(threads: number, pinThreads: ThreadPinning | undefined): string[] {
  const before = affinities();
  const device = openNativeDevice({ threads, pinThreads });
  onTestFinished(() => device.close());
  const started = [...affinities()].filter(([id]) => !before.has(id)).map(([, allowed]) => allowed);
  expect(started).toHaveLength(threads);
  return started;
}

test.skipIf(!testable)("compute threads stay on cores of their own where that is asked for (Linux)", () => {
  for (const threads of [1, cores]) {
    const allowed = ofDevice(threads, "always");
    for (const list of allowed) expect(list).toMatch(/^\d+$/);
    expect(new Set(allowed).size).toBe(threads);
  }
  // More threads than cores share them.
  expect(new Set(ofDevice(cores + 1, "always")).size).toBe(cores);
});

test.skipIf(!testable)(
  "and go where the system puts them where it is forbidden, or would not help (Linux)",
  () => {
    for (const list of ofDevice(cores, "never")) expect(list).toBe(own);
    for (const list of ofDevice(cores + 1, undefined)) expect(list).toBe(own);
    for (const list of ofDevice(1, "auto")) expect(list).toBe(own);
  },
);

test.skipIf(!testable || cores < 2)("by default they are pinned where they fill the cores (Linux)", () => {
  for (const list of ofDevice(cores, undefined)) expect(list).toMatch(/^\d+$/);
});
