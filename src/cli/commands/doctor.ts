/** `claw doctor`: what this machine offers, what is missing, and how to get it. */

import { cacheFolder, packedFolder, stateFolder } from "../../config/folders/mod.ts";
import { switchOption, twoColumns } from "../../config/mod.ts";
import { nativeInfo } from "../../kernels/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { findProgram, type Machine, readMachine } from "../machine.ts";
import { formatBytes } from "../numbers.ts";
import { print, printJson, version } from "../terminal.ts";

interface DoctorOptions {
  readonly json: boolean;
}

interface Program {
  readonly names: readonly string[];
  readonly purpose: string;
  readonly remedy: string;
}

const programs: readonly Program[] = [
  {
    names: ["g++", "clang++", "c++"],
    purpose: "compiles the native core",
    remedy: "apt-get install g++ (Debian, Ubuntu) or dnf install gcc-c++ (Fedora)",
  },
  { names: ["curl"], purpose: "tries the server", remedy: "apt-get install curl or dnf install curl" },
];

export const doctor: Command = defineCommand<DoctorOptions>({
  name: "doctor",
  summary: "Shows what this machine offers, what is missing, and how to get it.",
  options: { json: switchOption("json", "print an object") },
  run: ({ json }) => {
    const report = examine();
    return json ? printJson(report) : print(describe(report));
  },
});

interface Report {
  readonly version: string;
  readonly machine: Machine;
  /** Null where the native core was not built or does not load. */
  readonly native: { readonly isas: readonly string[] } | null;
  readonly folders: { readonly state: string; readonly cache: string; readonly packed: string };
  readonly programs: readonly {
    readonly name: string;
    readonly path: string | null;
    readonly purpose: string;
  }[];
  /** One sentence for everything that is missing. */
  readonly advice: readonly string[];
}

function examine(): Report {
  const machine = readMachine();
  const core = nativeInfo();
  const found = programs.map(({ names, purpose, remedy }) => {
    return { name: names[0] ?? "", path: findProgram(names) ?? null, purpose, remedy };
  });
  const advice = found.flatMap(({ name, path, purpose, remedy }) =>
    path === null ? [`${name} (${purpose}) is missing: ${remedy}.`] : [],
  );
  if (core === undefined) {
    advice.push(
      "The native core is not there, and the slower TypeScript reference runs: npm run build:native.",
    );
  }
  if (machine.cpu.features.includes("avx2") && machine.hugePages.transparent === "never") {
    advice.push("Huge pages are off: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, as root.");
  }
  return {
    version: version(),
    machine,
    native: core === undefined ? null : { isas: core.isas },
    folders: { state: stateFolder(), cache: cacheFolder(), packed: packedFolder() },
    programs: found.map(({ name, path, purpose }) => ({ name, path, purpose })),
    advice,
  };
}

function describe({ version: own, machine, native, folders, programs: found, advice }: Report): string {
  const { cpu, memory, hugePages } = machine;
  const rows: [string, string][] = [
    ["OpenClaw", `${own}, Node ${machine.node}, ${machine.platform}`],
    ["Processor", `${cpu.model}, ${cpu.cores} cores, ${cpu.usable} usable${limitOf(machine.cpuLimit)}`],
    ["Features", cpu.features.join(" ") || "none of those that kernels use"],
    ["Native core", native === null ? "missing" : `kernels for ${native.isas.join(", ")}`],
    [
      "Memory",
      `${formatBytes(memory.total)}, ${formatBytes(memory.free)} free${memoryLimitOf(memory.limit)}`,
    ],
    ["NUMA nodes", String(machine.numaNodes)],
    ["Huge pages", `transparent ${hugePages.transparent ?? "unknown"}, ${hugePages.reserved} reserved`],
    ["GPUs", machine.gpus.map(({ vendor, name }) => `${vendor} ${name}`).join(", ") || "none"],
    ["KVM", machine.kvm ? "usable" : "not usable"],
    ["State", folders.state],
    ["Caches", folders.cache],
    ["Packed weights", folders.packed],
    ...found.map(({ name, path, purpose }): [string, string] => [name, path ?? `missing; it ${purpose}`]),
  ];
  const list = advice.map((line) => `  - ${line}\n`).join("");
  return `${twoColumns(rows)}\n\n${advice.length === 0 ? "Nothing is missing.\n" : `To do:\n${list}`}`;
}

function limitOf(cores: number | null): string {
  return cores === null ? "" : `, limited to ${cores}`;
}

function memoryLimitOf(limit: number | null): string {
  return limit === null ? "" : `, limited to ${formatBytes(limit)}`;
}
