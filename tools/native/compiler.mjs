/** I/O: runs the compiler. Finds one, asks it what it supports, compiles and links with it. */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import os from "node:os";
import { dirname } from "node:path";

const candidates = ["g++", "clang++", "c++"];

/** The C++ compiler as `{ command, prefix, version }`, or undefined. `CXX` decides alone where it is set. */
export function findCompiler(env) {
  const asked = (env.CXX ?? "").trim();
  for (const line of asked === "" ? candidates : [asked]) {
    const [command, ...prefix] = line.split(/\s+/);
    const answer = spawnSync(command, [...prefix, "--version"], { env, encoding: "utf8" });
    if (answer.status === 0) return { command, prefix, version: answer.stdout.split("\n")[0], env };
  }
  return undefined;
}

/** Whether the compiler accepts the flags, found by compiling an empty file. */
export function acceptsFlags(compiler, flags) {
  const probe = [...compiler.prefix, "-Werror", ...flags, "-x", "c++", "-c", "-", "-o", "/dev/null"];
  return spawnSync(compiler.command, probe, { env: compiler.env, input: "" }).status === 0;
}

/**
 * Runs the compiler so that `output` appears whole or not at all: two builds at once, or an interrupted one,
 * leave no half-written file under the final name. Throws an Error whose message is what the compiler said.
 */
export async function produce(compiler, args, output) {
  mkdirSync(dirname(output), { recursive: true });
  const temporary = `${output}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await run(compiler.command, [...compiler.prefix, ...args, "-o", temporary], compiler.env);
    renameSync(temporary, output);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function run(command, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(said);
      else reject(new Error(said.trim() || `${command} ended with ${signal ?? `exit code ${code}`}.`));
    });
  });
}

/**
 * Compiles the units whose object does not exist yet, one process per processor; all of them, with warnings as
 * errors, when `strict`. Returns how many it compiled.
 */
export async function compileUnits(compiler, units, { strict = false } = {}) {
  const missing = units.filter((unit) => strict || !existsSync(unit.object));
  const waiting = [...missing];
  const warnings = strict ? ["-Werror"] : [];
  const worker = async () => {
    for (let unit = waiting.shift(); unit !== undefined; unit = waiting.shift()) {
      try {
        await produce(compiler, [...warnings, ...unit.flags, "-c", unit.file], unit.object);
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, os.cpus().length) }, worker));
  return missing.length;
}
