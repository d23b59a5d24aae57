/**
 * I/O: disassembles the objects of the addon. Looks for fused multiply-adds: they round once where a multiply and
 * an add round twice, so one that a compiler invents changes bits. A source that means them says so with the
 * comment `// uses-fma` among its first lines.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { findCompiler } from "./compiler.mjs";

const headLines = 10;
const disassemblyBytesMax = 1 << 30;
const fused = /\t(vfn?m(?:add|sub|addsub|subadd)[0-9]*[ps][shd]|fn?m(?:add|sub)|fml[as])\b/;

/** Complaints about one disassembly: the functions that hold fused multiply-adds and how many. */
export function fusedFunctions(disassembly) {
  const counts = new Map();
  let name = "?";
  for (const line of disassembly.split("\n")) {
    name = /^[0-9a-f]+ <(.+)>:$/.exec(line)?.[1] ?? name;
    if (fused.test(line)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([symbol, count]) => `${symbol}: ${count}`);
}

/** Whether the source declares that it means its fused multiply-adds. */
function usesFma(file) {
  return readFileSync(file, "utf8")
    .split("\n", headLines)
    .some((line) => line.trim().startsWith("// uses-fma"));
}

/** Checks every object of the addon that was just built; prints what it finds and returns the exit status. */
export function checkFma(build, planUnits) {
  const compiler = findCompiler(build.env);
  if (compiler === undefined) throw new Error("The check needs the compiler that built the addon.");
  const { units } = planUnits(build, compiler, build.sources.product);
  const objdump = build.target?.objdump ?? "objdump";
  const checked = units.filter((unit) => !usesFma(unit.file));
  const complaints = checked.flatMap((unit) =>
    fusedFunctions(disassemble(objdump, unit.object)).map(
      (found) => `${unit.path}: fused multiply-adds in ${found}`,
    ),
  );
  for (const complaint of complaints) console.error(complaint);
  console.log(
    `fused multiply-adds: ${checked.length} of ${units.length} objects checked, ${complaints.length} complaints`,
  );
  return complaints.length === 0 ? 0 : 1;
}

function disassemble(objdump, object) {
  if (!existsSync(object)) throw new Error(`${object} is missing; build first.`);
  const options = { encoding: "utf8", maxBuffer: disassemblyBytesMax };
  const run = spawnSync(objdump, ["-d", "--no-show-raw-insn", "-C", object], options);
  if (run.status !== 0)
    throw new Error("The check needs objdump (Debian, Ubuntu: apt-get install binutils).");
  return run.stdout;
}
