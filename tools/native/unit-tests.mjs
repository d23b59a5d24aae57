/** I/O: builds and runs the native unit tests. Each `native/tests/*.cc` is a program of its own. */
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { compileUnits, findCompiler, produce } from "./compiler.mjs";

/** A test that takes longer hangs; sanitizers and emulated processors slow it about tenfold. */
const testTimeoutMs = 300_000;
const attemptsMax = 4;

/**
 * Compiles the core and its tests as `build` says, runs every program, for another machine on each of its emulated
 * processors, and returns the exit status.
 */
export async function runUnitTests(build, planUnits) {
  const compiler = findCompiler(build.env);
  if (compiler === undefined) throw new Error("The native tests need a C++ compiler (g++ or clang++).");
  const { units, sets } = planUnits(build, compiler, [...build.sources.library, ...build.sources.tests]);
  await compileUnits(compiler, units);
  const programs = await linkPrograms(build, compiler, units);
  if (build.target === undefined) return runPrograms(programs, { name: build.sanitize, command: [] }) ? 0 : 1;
  requireEmulator(build.target);
  const outcomes = build.target.processors.map((processor) =>
    runPrograms(programs, {
      name: processor.name,
      command: [...build.target.emulator, processor.name],
      sets: sets.filter((set) => !processor.lacks.includes(set)),
    }),
  );
  return outcomes.every(Boolean) ? 0 : 1;
}

/** Links a program of each test; returns what to run and the sources to name it by. */
async function linkPrograms(build, compiler, units) {
  const isTest = (unit) => unit.path.startsWith("native/tests/");
  const library = units.filter((unit) => !isTest(unit)).map((unit) => unit.object);
  const sanitizers = build.sanitize === "" ? [] : [`-fsanitize=${build.sanitize}`];
  const programs = [];
  for (const unit of units.filter(isTest)) {
    const program = join(build.out, basename(unit.path, ".cc"));
    await produce(compiler, ["-pthread", ...sanitizers, unit.object, ...library], program);
    programs.push({ program, path: unit.path });
  }
  return programs;
}

function requireEmulator({ emulator, packages }) {
  if (spawnSync(emulator[0], ["--version"]).status === 0) return;
  throw new Error(`There is no ${emulator[0]} (Debian, Ubuntu: apt-get install ${packages}).`);
}

/**
 * Runs the programs and returns whether all passed. The tests of instruction sets name each one they ran; of `sets`
 * all must have run, so that an emulated processor that lacks one is noticed.
 */
function runPrograms(programs, { name, command, sets = [] }) {
  const outcomes = programs.map(({ program, path }) => runProgram([...command, program], path));
  const passed = outcomes.filter((outcome) => outcome.passed).length;
  const missing = sets.filter((set) => !outcomes.some(({ said }) => said.includes(` of ${set}: `)));
  for (const set of missing) console.log(`FAIL no test ran the instruction set ${set}`);
  console.log(`native tests (${name}): ${passed} passed, ${outcomes.length - passed} failed`);
  return passed > 0 && passed === outcomes.length && missing.length === 0;
}

function runProgram([command, ...args], path) {
  const started = Date.now();
  const run = untilLeaksAreLookedFor(path, () =>
    spawnSync(command, args, {
      encoding: "utf8",
      stdio: ["inherit", "pipe", "pipe"],
      timeout: testTimeoutMs,
    }),
  );
  const passed = run.status === 0;
  const why = passed ? "" : ` (${run.error?.message ?? run.signal ?? `exit code ${run.status}`})`;
  console.log(`${passed ? "pass" : "FAIL"} ${path} ${Date.now() - started} ms${why}`);
  return { passed, said: run.stdout ?? "" };
}

/**
 * At a program's end LeakSanitizer reads its threads' memory, and now and then faults there itself where a library was loaded
 * with threads of its own, as UCX is: about one run in ten. That tells nothing of leaks, so it is run again; a leak still fails.
 */
function untilLeaksAreLookedFor(path, runOnce) {
  for (let attempt = 1; ; attempt++) {
    const run = runOnce();
    process.stdout.write(run.stdout ?? "");
    process.stderr.write(run.stderr ?? "");
    const faulted =
      run.status !== 0 && (run.stderr ?? "").includes("LeakSanitizer has encountered a fatal error");
    if (!faulted || attempt === attemptsMax) return run;
    console.log(`again ${path}: LeakSanitizer failed itself`);
  }
}
