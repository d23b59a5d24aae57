/**
 * I/O: compiles the native core (`native/`) to one Node-API addon, `native/build/claw.node`. Plain JavaScript
 * without dependencies, because the install runs it with whatever Node (18 or newer) the machine has.
 *
 *   node tools/build-native.mjs                     build; exit 1 with the compiler's words if that fails
 *     --postinstall                                 never fail: one warning, and the TypeScript reference runs
 *     --allow-no-compiler                           as above only where no compiler is found
 *     --strict                                      warnings are errors
 *     --sanitize=address,undefined                  an instrumented addon in native/build-asan/
 *     --tests                                       build and run native/tests/*.cc under ASan and UBSan
 *     --target=aarch64                              for 64-bit ARM, in native/build-aarch64/; --tests runs there under qemu
 *     --check-fma                                   look for fused multiply-adds where none belong
 *     --root=FOLDER                                 another tree with the same layout
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptsFlags, compileUnits, findCompiler, produce } from "./native/compiler.mjs";
import { checkFma } from "./native/fma.mjs";
import {
  commonFlags,
  digest,
  instructionSetOf,
  instructionSets,
  modeFlags,
  nativeSources,
  targets,
} from "./native/layout.mjs";
import { runUnitTests } from "./native/unit-tests.mjs";

const ownRoot = fileURLToPath(new URL("..", import.meta.url));

/** Objects of other sources are kept this long, for a second build that may be running from them. */
const staleObjectMs = 60 * 60 * 1000;

export const remedy =
  "Install a C++ compiler (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++), then run " +
  "`npm run build:native`. Until then the TypeScript reference runs: the same tokens, slower.";

/**
 * Builds the addon unless the one that is there came from the same sources, flags and compiler.
 * Never throws: a result with `ok: false` holds the reason. The declarations are in build-native.d.mts.
 */
export async function buildNative(options = {}) {
  try {
    return await buildPlanned(planBuild(options));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return {
      ok: false,
      reason: "failed",
      message: `The native core did not compile (${firstError(detail)}).`,
      detail,
    };
  }
}

function planBuild(options) {
  const { root = ownRoot, sanitize = "", sets = instructionSets } = options;
  const strict = options.strict ?? false;
  const target = options.target === undefined ? undefined : targets[options.target];
  const arch = target?.arch ?? process.arch;
  const env = { ...(options.env ?? process.env), ...(target && { CXX: target.compiler }) };
  const suffix = `${sanitize === "" ? "" : "-asan"}${target === undefined ? "" : `-${options.target}`}`;
  const out = join(root, options.out ?? `native/build${suffix}`);
  const sources = nativeSources(root);
  const flags = [...commonFlags, ...modeFlags(sanitize)];
  const inputs = [...sources.product, ...sources.headers];
  const want = digest(root, inputs, { flags, sets, arch });
  const addon = join(out, "claw.node");
  return { root, env, arch, target, out, sets, sources, flags, sanitize, strict, want, addon };
}

async function buildPlanned(build) {
  const compiler = findCompiler(build.env);
  const stamp = readStamp(build.out);
  const fresh =
    stamp?.want === build.want &&
    (compiler === undefined || stamp.compiler === compiler.version) &&
    (stamp.strict || !build.strict);
  if (fresh && existsSync(build.addon)) {
    return {
      ok: true,
      upToDate: true,
      addon: build.addon,
      compiled: 0,
      sets: stamp.sets,
      dropped: stamp.dropped,
    };
  }
  if (compiler === undefined) {
    return {
      ok: false,
      reason: "no-compiler",
      message: "The native core was not built: no C++ compiler was found.",
      detail: "",
    };
  }
  const { units, sets, dropped } = planUnits(build, compiler, build.sources.product);
  if (units.length === 0) throw new Error(`There are no sources in ${join(build.root, "native")}.`);
  const compiled = await compileUnits(compiler, units, { strict: build.strict });
  await produce(
    compiler,
    ["-shared", "-pthread", ...linkFlags(build), ...units.map((unit) => unit.object)],
    build.addon,
  );
  writeStamp(build.out, {
    want: build.want,
    compiler: compiler.version,
    strict: build.strict,
    sets,
    dropped,
  });
  removeStaleObjects(build.out, units);
  return { ok: true, upToDate: false, addon: build.addon, compiled, sets, dropped };
}

/** What to compile: each source with its flags and the object it becomes; unsupported instruction sets drop out. */
export function planUnits(build, compiler, sources) {
  const include = join(build.root, "node_modules/node-api-headers/include");
  if (!existsSync(include)) throw new Error("node-api-headers is not installed; run `npm ci` first.");
  const folders = new Set(sources.map(instructionSetOf).filter((name) => name !== undefined));
  const here = build.sets.filter((set) => set.arch === build.arch && folders.has(set.name));
  const usable = here.filter((set) => acceptsFlags(compiler, set.flags));
  const defines = usable.map((set) => `-DCLAW_HAVE_${set.name.toUpperCase().replaceAll("-", "_")}=1`);
  const units = sources.flatMap((path) => {
    const name = instructionSetOf(path);
    const set = usable.find((candidate) => candidate.name === name);
    if (name !== undefined && set === undefined) return [];
    const flags = [...build.flags, ...(set?.flags ?? []), ...defines];
    flags.push(`-I${join(build.root, "native")}`, `-I${include}`);
    const key = digest(build.root, [path, ...build.sources.headers], { flags, compiler: compiler.version });
    const stem = path
      .replace(/^native\//, "")
      .replace(/\.cc$/, "")
      .replaceAll("/", "-");
    return [
      { path, file: join(build.root, path), flags, object: join(build.out, `objects/${stem}-${key}.o`) },
    ];
  });
  const dropped = here.filter((set) => !usable.includes(set)).map((set) => set.name);
  return { units, sets: usable.map((set) => set.name), dropped };
}

function linkFlags(build) {
  return build.sanitize === "" ? [] : [`-fsanitize=${build.sanitize}`];
}

function readStamp(out) {
  try {
    return JSON.parse(readFileSync(join(out, "stamp.json"), "utf8"));
  } catch {
    return undefined; // no stamp, or one that was not written whole: build again
  }
}

function writeStamp(out, stamp) {
  mkdirSync(out, { recursive: true });
  const temporary = join(out, `stamp.json.${process.pid}.tmp`);
  writeFileSync(temporary, `${JSON.stringify(stamp, null, 2)}\n`);
  renameSync(temporary, join(out, "stamp.json"));
}

function removeStaleObjects(out, units) {
  const current = new Set(units.map((unit) => unit.object));
  const folder = join(out, "objects");
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const stale = !current.has(path) && Date.now() - statSync(path).mtimeMs > staleObjectMs;
    if (stale) rmSync(path, { force: true });
  }
}

function firstError(text) {
  const lines = text.split("\n");
  return (lines.find((line) => /\berror\b/i.test(line)) ?? lines[0]).trim();
}

function parseArguments(args) {
  const flags = new Set(args.filter((arg) => !arg.includes("=")));
  const value = (name) => args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const known = /^--(postinstall|allow-no-compiler|strict|tests|check-fma|(root|sanitize|target)=.+)$/;
  const unknown = args.find((arg) => !known.test(arg));
  if (unknown !== undefined)
    throw new Error(`Unknown option ${unknown}; the head of tools/build-native.mjs lists them.`);
  const root = resolve(value("root") ?? ownRoot);
  const target = value("target");
  if (target !== undefined && !Object.hasOwn(targets, target))
    throw new Error(`Unknown target ${target}; there is ${Object.keys(targets).join(", ")}.`);
  const strict = flags.has("--strict");
  return { flags, options: { root, strict, sanitize: value("sanitize") ?? "", target } };
}

function report(result, flags) {
  if (result.ok) {
    const sets = ["scalar", ...result.sets].join(", ");
    const dropped = result.dropped
      .map((name) => ` The compiler does not know ${name}; it is left out.`)
      .join("");
    if (!result.upToDate) console.log(`Built ${relative(process.cwd(), result.addon)} (${sets}).${dropped}`);
    return 0;
  }
  const forgiven =
    flags.has("--postinstall") || (flags.has("--allow-no-compiler") && result.reason === "no-compiler");
  if (forgiven) console.warn(`Warning: ${result.message} ${remedy}`);
  else console.error(result.reason === "failed" ? result.detail : `${result.message} ${remedy}`);
  return forgiven ? 0 : 1;
}

/** Throws with the packages to install where the tools for another machine are missing. */
function requireTools({ target, env }) {
  if (target === undefined || findCompiler(env) !== undefined) return;
  throw new Error(`There is no ${target.compiler} (Debian, Ubuntu: apt-get install ${target.packages}).`);
}

async function main() {
  const { flags, options } = parseArguments(process.argv.slice(2));
  if (flags.has("--tests") && options.target === undefined) {
    const sanitize = options.sanitize || "address,undefined";
    return runUnitTests(planBuild({ ...options, sanitize, out: "native/build-tests" }), planUnits);
  }
  const build = planBuild(options);
  requireTools(build);
  let status = report(await buildNative(options), flags);
  if (status === 0 && flags.has("--tests")) status = await runUnitTests(build, planUnits);
  if (status === 0 && flags.has("--check-fma")) status = checkFma(build, planUnits);
  return status;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = process.argv.includes("--postinstall") ? 0 : 1;
  }
}
