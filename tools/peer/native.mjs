/** I/O: compiles logits.cc, quantize.cc and speed.cc once against the installed llama.cpp libraries and runs them. */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const platform = `${process.platform}-${process.arch}`;
const bins = join(here, "node_modules", "@node-llama-cpp", platform, "bins", platform);
const sourceBundle = join(here, "node_modules", "node-llama-cpp", "llama", "gitRelease.bundle");
// Inside node_modules: ignored by git, and gone with the libraries it was built against.
const cache = join(here, "node_modules", ".cache", "peer");

/** llama_flash_attn_type, by the name of our option. */
const flashAttentionTypes = { auto: -1, off: 0, on: 1 };

/**
 * Evaluates token ids; see logits.cc for what comes back.
 * `window` in tokens; `from`, `to` are positions within a window; `out` and `lora` are paths or absent;
 * with `bos` the first token of each window becomes BOS where the model asks for BOS.
 */
export function score(
  model,
  tokens,
  { window, from, to, bos = false, out = "", lora = "", threads, flash, kv },
) {
  const settings = {
    bins,
    model,
    out,
    lora,
    window,
    from,
    to,
    threads,
    bos: bos ? "model" : "keep",
    flash: flashAttentionTypes[flash],
    kv,
  };
  const input = Buffer.from(Int32Array.from(tokens).buffer);
  return JSON.parse(command(builtProgram("logits"), Object.entries(settings).flat().map(String), { input }));
}

/** Writes `model` to `out` in another type; see quantize.cc for what comes back. */
export function quantize({ model, out, type, mixture, threads }) {
  const settings = { bins, model, out, type, mixture, threads };
  return JSON.parse(command(builtProgram("quantize"), Object.entries(settings).flat().map(String)));
}

/**
 * Starts speed.cc, which see, on our own standard streams; resolves to its exit status. It ends with standard input.
 */
export function measure(settings) {
  const { release } = JSON.parse(readFileSync(join(bins, "_nlcBuildMetadata.json"), "utf8")).buildOptions
    .llamaCpp;
  const args = Object.entries({ bins, release, ...settings })
    .flat()
    .map(String);
  const child = spawn(builtProgram("speed"), args, { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** The path of the program `name`.cc becomes. */
function builtProgram(name) {
  const key = createHash("sha256")
    .update(readFileSync(join(here, `${name}.cc`)))
    .update(readFileSync(join(here, "model.h")))
    .update(readFileSync(join(bins, "_nlcBuildMetadata.json")))
    .update(here)
    .digest("hex");
  const program = join(cache, `${name}-${key.slice(0, 16)}`);
  if (!existsSync(program)) build(name, program);
  return program;
}

/** Builds in a folder of its own and renames, so that two runs at once cannot see half a program. */
function build(name, program) {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "build-"));
  try {
    extractHeaders(folder);
    const libraries = readdirSync(bins).filter((file) =>
      /^lib(llama|ggml|ggml-base)(\.v[\d.]+)?\.so$/.test(file),
    );
    command(process.env.CXX ?? "c++", [
      ..."-std=c++17 -O2 -Wall -Wextra".split(" "),
      ...["include", "ggml/include"].map((headers) => `-I${join(folder, headers)}`),
      ...["-o", join(folder, name), join(here, `${name}.cc`), `-L${bins}`, `-Wl,-rpath,${bins}`],
      ...libraries.map((file) => `-l:${file}`),
    ]);
    renameSync(join(folder, name), program);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The package carries the sources of its llama.cpp as a git bundle: headers that fit the libraries exactly. */
function extractHeaders(folder) {
  const repository = join(folder, "llama.git");
  command("git", ["init", "--quiet", "--bare", repository]);
  command("git", ["-C", repository, "fetch", "--quiet", sourceBundle, "HEAD"]);
  const checkout = ["checkout", "--quiet", "FETCH_HEAD", "--", ":/include", ":/ggml/include"];
  command("git", ["-C", repository, `--work-tree=${folder}`, ...checkout]);
}

function command(program, args, options = {}) {
  const result = spawnSync(program, args, {
    ...options,
    stdio: ["pipe", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (result.error) throw new Error(`Running ${program} failed: ${result.error.message}. Install it.`);
  if (result.status !== 0) throw new Error(`${program} ended with ${result.status ?? result.signal}.`);
  return result.stdout;
}
