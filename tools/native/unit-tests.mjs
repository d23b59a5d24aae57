/** I/O: builds and runs the native unit tests. Each `native/tests/*.cc` is a program of its own. */
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { compileUnits, findCompiler, produce } from "./compiler.mjs";

/** A test that takes longer hangs; sanitizers slow it about tenfold. */
const testTimeoutMs = 300_000;

/** Compiles the core and its tests with the sanitizers of `build`, runs every program, returns the exit status. */
export async function runUnitTests(build, planUnits) {
  const compiler = findCompiler(build.env);
  if (compiler === undefined) throw new Error("The native tests need a C++ compiler (g++ or clang++).");
  const { units } = planUnits(build, compiler, [...build.sources.library, ...build.sources.tests]);
  await compileUnits(compiler, units);
  const isTest = (unit) => unit.path.startsWith("native/tests/");
  const library = units.filter((unit) => !isTest(unit)).map((unit) => unit.object);
  const outcomes = [];
  for (const unit of units.filter(isTest)) {
    const program = join(build.out, basename(unit.path, ".cc"));
    const link = ["-pthread", `-fsanitize=${build.sanitize}`, unit.object, ...library];
    await produce(compiler, link, program);
    outcomes.push(runProgram(program, unit.path));
  }
  const passed = outcomes.filter(Boolean).length;
  console.log(`native tests (${build.sanitize}): ${passed} passed, ${outcomes.length - passed} failed`);
  return passed > 0 && passed === outcomes.length ? 0 : 1;
}

function runProgram(program, path) {
  const started = Date.now();
  const run = spawnSync(program, [], { stdio: "inherit", timeout: testTimeoutMs });
  const passed = run.status === 0;
  const why = passed ? "" : ` (${run.error?.message ?? run.signal ?? `exit code ${run.status}`})`;
  console.log(`${passed ? "pass" : "FAIL"} ${path} ${Date.now() - started} ms${why}`);
  return passed;
}
