import { cpSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { buildNative, type InstructionSet } from "../../tools/build-native.mjs";
import { fusedFunctions } from "../../tools/native/fma.mjs";
import {
  findCommand,
  linkCommands,
  makeFolder,
  type Outcome,
  repository,
  runCommand,
  writeFiles,
} from "./scratch.ts";

const addon = `#include <node_api.h>
#include "kernels/answer.h"
static napi_value Answer(napi_env env, napi_callback_info) {
  napi_value value;
  napi_create_int32(env, answer(), &value);
  return value;
}
NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "answer", NAPI_AUTO_LENGTH, Answer, nullptr, &function);
  napi_set_named_property(env, exports, "answer", function);
  return exports;
}
`;
/** 40, and 2 more if the instruction set that every compiler takes was built; 100 more for one that none takes. */
const answer = `#include "kernels/answer.h"
int answer() {
  int sum = 40;
#ifdef CLAW_HAVE_PLAIN
  sum += plain();
#endif
#ifdef CLAW_HAVE_ODD
  sum += 100;
#endif
  return sum;
}
`;
const sources = {
  "native/addon.cc": addon,
  "native/kernels/answer.h": "#pragma once\nint answer();\nint plain();\n",
  "native/kernels/answer.cc": answer,
  "native/arch/plain/plain.cc": '#include "kernels/answer.h"\nint plain() { return CLAW_HAVE_PLAIN + 1; }\n',
  "native/arch/odd/odd.cc": "#error compiled\n",
  "native/arch/elsewhere/elsewhere.cc": "#error compiled\n",
  "native/tests/answer.cc": '#include "kernels/answer.h"\nint main() { return answer() == 40 ? 0 : 1; }\n',
};
const sets: readonly InstructionSet[] = [
  { name: "plain", arch: process.arch, flags: ["-O2"] },
  { name: "odd", arch: process.arch, flags: ["-mno-such-instruction-set"] },
  { name: "elsewhere", arch: "another architecture", flags: [] },
];

const compiler = findCommand("g++") ?? findCommand("clang++");
const needsCompiler = compiler === undefined ? " (skipped: no g++ or clang++ here)" : "";

/** A tree with tiny sources and a copy of the build script. */
function makeTree(changes: Readonly<Record<string, string>> = {}): string {
  const root = makeFolder();
  cpSync(join(repository, "tools/build-native.mjs"), join(root, "tools/build-native.mjs"));
  cpSync(join(repository, "tools/native"), join(root, "tools/native"), { recursive: true });
  mkdirSync(join(root, "node_modules"));
  symlinkSync(join(repository, "node_modules/node-api-headers"), join(root, "node_modules/node-api-headers"));
  writeFiles(root, { ...sources, ...changes });
  return root;
}

const script = (root: string, ...args: string[]): Outcome =>
  runCommand(process.execPath, [join(root, "tools/build-native.mjs"), ...args], { cwd: root });
const scriptWithoutCompiler = (root: string, ...args: string[]): Outcome =>
  runCommand(process.execPath, [join(root, "tools/build-native.mjs"), ...args], {
    cwd: root,
    path: [linkCommands(join(makeFolder(), "bin"), ["sh"])],
  });
const load = (path: string): { answer: () => number } =>
  createRequire(import.meta.url)(path) as { answer: () => number };
const warning = /^Warning: The native core .+apt-get install g\+\+.+TypeScript reference.+\n$/;

describe.skipIf(compiler === undefined)(`with a compiler${needsCompiler}`, () => {
  test("the addon loads, and an instruction set that the compiler does not know drops only itself", async () => {
    const root = makeTree();
    const built = await buildNative({ root, sets, strict: true });
    expect(built).toMatchObject({
      ok: true,
      upToDate: false,
      compiled: 3,
      sets: ["plain"],
      dropped: ["odd"],
    });
    expect(load(join(root, "native/build/claw.node")).answer()).toBe(42);
    expect(readdirSync(join(root, "native/build")).sort()).toEqual(["claw.node", "objects", "stamp.json"]);
  });

  test("nothing is compiled twice: not the whole, nor a file that did not change", async () => {
    const root = makeTree();
    await buildNative({ root, sets });
    const before = statSync(join(root, "native/build/claw.node")).mtimeMs;
    expect(await buildNative({ root, sets })).toMatchObject({ ok: true, upToDate: true, sets: ["plain"] });
    expect(statSync(join(root, "native/build/claw.node")).mtimeMs).toBe(before);
    writeFiles(root, { "native/kernels/answer.cc": answer.replace("40", "50") });
    expect(await buildNative({ root, sets })).toMatchObject({ ok: true, upToDate: false, compiled: 1 });
    writeFiles(root, { "native/kernels/answer.h": "#pragma once\nint answer();\nint plain(); // changed\n" });
    expect(await buildNative({ root, sets })).toMatchObject({ ok: true, upToDate: false, compiled: 3 });
    const withoutCompiler = await buildNative({ root, sets, env: { PATH: makeFolder() } });
    expect(withoutCompiler).toMatchObject({ ok: true, upToDate: true });
  });

  test("builds at the same time do not disturb each other", async () => {
    const root = makeTree();
    const results = await Promise.all([buildNative({ root, sets }), buildNative({ root, sets })]);
    expect(results.map(({ ok }) => ok)).toEqual([true, true]);
    expect(load(join(root, "native/build/claw.node")).answer()).toBe(42);
    expect(readdirSync(join(root, "native/build/objects")).filter((name) => !name.endsWith(".o"))).toEqual(
      [],
    );
  });

  test("a broken source fails the build with the compiler's words, and never the install", () => {
    const root = makeTree({ "native/kernels/answer.cc": "int answer( { return 1; }\n" });
    const build = script(root);
    expect(build.status).toBe(1);
    expect(build.stderr).toMatch(/answer\.cc:1:\d+: error: /);
    expect(script(root, "--allow-no-compiler").status).toBe(1);
    const install = script(root, "--postinstall");
    expect(install).toMatchObject({ status: 0, stdout: "" });
    expect(install.stderr).toMatch(warning);
    expect(existsSync(join(root, "native/build/claw.node"))).toBe(false);
  });

  test("a compiler's warning fails a strict build only, also one that was built before", async () => {
    const root = makeTree({ "native/kernels/answer.cc": `static int unused() { return 1; }\n${answer}` });
    expect(await buildNative({ root, sets })).toMatchObject({ ok: true });
    const strict = await buildNative({ root, sets, strict: true });
    expect(strict).toMatchObject({ ok: false, reason: "failed", message: expect.stringContaining("unused") });
  });

  test("native tests run under sanitizers, which find what a plain run forgives", () => {
    const root = makeTree();
    const passed = script(root, "--tests");
    expect(passed.stdout).toContain("native tests (address,undefined): 1 passed, 0 failed");
    expect(passed.status).toBe(0);
    const overflow = "#include <climits>\nint main(int count, char**) { return INT_MAX + count == 0; }\n";
    const freed = "int main() { volatile int* one = new int[1]; delete[] one; return *one; }\n";
    writeFiles(root, { "native/tests/overflow.cc": overflow, "native/tests/freed.cc": freed });
    const failed = script(root, "--tests");
    expect(failed.stdout).toContain("native tests (address,undefined): 1 passed, 2 failed");
    expect(failed.stderr).toContain("signed integer overflow");
    expect(failed.stderr).toContain("heap-use-after-free");
    expect(failed.status).toBe(1);
  });

  test.skipIf(process.arch !== "x64" || findCommand("objdump") === undefined)(
    "a fused multiply-add is found where the source does not declare it (needs x64 and objdump)",
    () => {
      const body =
        "#include <immintrin.h>\n__m256 both(__m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, a); }\n" +
        "__m256 apart(__m256 a, __m256 b) { return _mm256_add_ps(_mm256_mul_ps(a, b), a); }\n";
      const root = makeTree({ "native/arch/avx2/fused.cc": body });
      const found = script(root, "--check-fma");
      expect(found.status).toBe(1);
      expect(found.stderr).toMatch(/^native\/arch\/avx2\/fused\.cc: fused multiply-adds in both\(.+: 1\n$/);
      writeFiles(root, {
        "native/arch/avx2/fused.cc": `// uses-fma: the specification rounds once.\n${body}`,
      });
      expect(script(root, "--check-fma").status).toBe(0);
    },
  );
});

test("without a compiler the install succeeds with one warning that names the package", () => {
  const root = makeTree();
  for (const option of ["--postinstall", "--allow-no-compiler"]) {
    const outcome = scriptWithoutCompiler(root, option);
    expect(outcome).toMatchObject({ status: 0, stdout: "" });
    expect(outcome.stderr).toMatch(warning);
  }
  expect(scriptWithoutCompiler(root)).toMatchObject({ status: 1 });
});

test("an empty or uninstalled tree is a failed build, not a crash", async () => {
  const root = makeFolder();
  expect(await buildNative({ root })).toMatchObject({ ok: false });
  const unknown = script(makeTree(), "--fast");
  expect(unknown.stderr).toMatch(/^Unknown option --fast/);
  expect(unknown.status).toBe(1);
  expect(script(makeTree(), "--target=mips").stderr).toMatch(/^Unknown target mips/);
  const missing = scriptWithoutCompiler(makeTree(), "--target=aarch64", "--tests");
  expect(missing.stderr).toMatch(/^There is no aarch64-linux-gnu-g\+\+ .+apt-get install g\+\+-aarch64/);
  expect(missing.status).toBe(1);
});

test("a disassembly's fused multiply-adds are counted by function", () => {
  const text = `
0000000000000000 <plain(float)>:
   0:\tvmulps %xmm0,%xmm1,%xmm2
0000000000000010 <fused(float)>:
  10:\tvfmadd231ps (%rax),%zmm1,%zmm2
  14:\tvfnmsub132sd %xmm0,%xmm1,%xmm2
0000000000000020 <arm>:
  20:\tfmla\tv0.4s, v1.4s, v2.4s
`;
  expect(fusedFunctions(text)).toEqual(["fused(float): 2", "arm: 1"]);
});
