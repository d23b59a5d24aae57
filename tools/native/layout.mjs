/** I/O: lists the native sources. What is compiled, with which flags, and what a build depends on. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * GCC's own intrinsics headers make undefined registers in a way that it then warns of (GCC bug 105593). Clang has no
 * maybe-uninitialized and is asked not to mind.
 */
const intrinsicsWarnings = ["-Wno-unknown-warning-option", "-Wno-uninitialized", "-Wno-maybe-uninitialized"];

/**
 * Instruction sets with a folder of their own, `native/arch/<name>/`. Everything else is compiled for the
 * baseline of the machine's architecture, so that an addon runs on every machine of it and chooses at run time.
 */
export const instructionSets = [
  {
    name: "avx512",
    arch: "x64",
    flags: [
      "-mavx512f",
      "-mavx512bw",
      "-mavx512vl",
      "-mavx512dq",
      "-mavx512vnni",
      "-mavx2",
      "-mfma",
      "-mf16c",
      ...intrinsicsWarnings,
    ],
  },
  { name: "avx2", arch: "x64", flags: ["-mavx2", "-mfma", "-mf16c", ...intrinsicsWarnings] },
  {
    name: "avx2-vnni",
    arch: "x64",
    flags: ["-mavx2", "-mavxvnni", "-mfma", "-mf16c", ...intrinsicsWarnings],
  },
  { name: "neon", arch: "arm64", flags: [] },
  { name: "neon-dotprod", arch: "arm64", flags: ["-march=armv8.2-a+dotprod"] },
];

/**
 * Machines to compile for from another one, and the emulated processors that run the tests: for ARM one that has every
 * instruction and one without dot products. The names and places are Debian's and Ubuntu's.
 */
export const targets = {
  aarch64: {
    arch: "arm64",
    compiler: "aarch64-linux-gnu-g++",
    objdump: "aarch64-linux-gnu-objdump",
    packages: "g++-aarch64-linux-gnu qemu-user",
    emulator: ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu"],
    processors: [
      { name: "max", lacks: [] },
      { name: "cortex-a72", lacks: ["neon-dotprod"] },
    ],
  },
};

/**
 * Flags of every file. Contraction is off because a fused multiply-add that the compiler invents changes bits;
 * errno of mathematical functions is not read, and dropping it changes none.
 */
export const commonFlags = [
  "-std=c++20",
  "-fPIC",
  "-pthread",
  "-fvisibility=hidden",
  "-ffp-contract=off",
  "-fno-fast-math",
  "-fno-math-errno",
  "-Wall",
  "-Wextra",
];

const optimized = ["-O3"];
const instrumented = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"];

/** The flags that a build adds to the common ones: fast, or instrumented with the named sanitizers. */
export function modeFlags(sanitize) {
  return sanitize === "" ? optimized : [...instrumented, `-fsanitize=${sanitize}`];
}

/** Every file below a folder with one of the extensions, sorted, as paths relative to `root`. */
function listFiles(root, folder, extensions) {
  if (!existsSync(join(root, folder))) return [];
  const found = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!entry.name.startsWith("build")) found.push(...listFiles(root, path, extensions));
    } else if (extensions.some((extension) => entry.name.endsWith(extension))) {
      found.push(path);
    }
  }
  return found.sort();
}

/** The native sources by what they become. Paths are relative to `root`. */
export function nativeSources(root) {
  const all = listFiles(root, "native", [".cc"]);
  const tests = all.filter((path) => path.startsWith("native/tests/"));
  const product = all.filter((path) => !path.startsWith("native/tests/"));
  const isAddon = (path) => path.startsWith("native/addon");
  return {
    product,
    library: product.filter((path) => !isAddon(path)),
    tests,
    headers: listFiles(root, "native", [".h", ".inc"]),
  };
}

/** The name of the instruction-set folder a source lies in, or undefined for baseline code. */
export function instructionSetOf(path) {
  return /^native\/arch\/([^/]+)\//.exec(path)?.[1];
}

/** A digest of files and settings; equal digests mean an equal build. */
export function digest(root, paths, settings) {
  const hash = createHash("sha256").update(JSON.stringify(settings));
  for (const path of paths) hash.update(`\0${path}\0`).update(readFileSync(join(root, path)));
  return hash.digest("hex").slice(0, 32);
}
