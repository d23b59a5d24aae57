/** I/O: looks at the machine this runs on, through /proc and /sys; what cannot be read is left out. */

import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { delimiter, join } from "node:path";

export interface Gpu {
  readonly name: string;
  readonly vendor: string;
  readonly driver: string | null;
}

export interface Machine {
  readonly platform: string;
  readonly node: string;
  readonly cpu: {
    readonly model: string;
    readonly cores: number;
    readonly usable: number;
    readonly features: readonly string[];
  };
  readonly memory: { readonly total: number; readonly free: number; readonly limit: number | null };
  /** Cores that the control group allows; null for no limit. */
  readonly cpuLimit: number | null;
  readonly numaNodes: number;
  readonly hugePages: { readonly transparent: string | null; readonly reserved: number };
  readonly gpus: readonly Gpu[];
  readonly kvm: boolean;
}

/** The processor features that kernels here use or may come to use. */
const features: readonly string[] = [
  "avx2",
  "fma",
  "f16c",
  "avx512f",
  "avx512bw",
  "avx512_vnni",
  "avx512_bf16",
  "amx_int8",
  "neon",
  "asimd",
  "asimddp",
  "i8mm",
  "sve",
];

const pciVendors: Readonly<Record<string, string>> = {
  "0x10de": "NVIDIA",
  "0x1002": "AMD",
  "0x8086": "Intel",
};

export function readMachine(): Machine {
  const cpuInfo = text("/proc/cpuinfo");
  const present = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuInfo)?.[1] ?? "").split(/\s+/));
  const all = cpus();
  return {
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    cpu: {
      model: all[0]?.model.trim() ?? "unknown",
      cores: all.length,
      usable: availableParallelism(),
      features: features.filter((feature) => present.has(feature)),
    },
    memory: { total: totalmem(), free: freemem(), limit: memoryLimit() },
    cpuLimit: cpuLimit(),
    numaNodes: Math.max(1, list("/sys/devices/system/node").filter((name) => /^node\d+$/.test(name)).length),
    hugePages: {
      transparent: /\[(\w+)\]/.exec(text("/sys/kernel/mm/transparent_hugepage/enabled"))?.[1] ?? null,
      reserved: Number(/^HugePages_Total:\s*(\d+)/m.exec(text("/proc/meminfo"))?.[1] ?? 0),
    },
    gpus: readGpus(),
    kvm: permits("/dev/kvm", constants.R_OK | constants.W_OK),
  };
}

/** The first of `names` that the PATH holds, as a path. */
export function findProgram(names: readonly string[]): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => permits(path, constants.X_OK));
}

/** The least of the limits on the way from this process's control group to the root (version 2 or 1). */
/** Of a node's memory, for weights and KV cache: the rest is for buffers, the processes themselves and the system. */
const NODE_SHARE = 0.9;

/** What weights and KV cache may take on this machine unless told otherwise. */
export function nodeMemoryBytes(): number {
  const { total, limit } = readMachine().memory;
  return Math.floor(Math.min(total, limit ?? total) * NODE_SHARE);
}

function memoryLimit(): number | null {
  const v2 = groupFiles("", "memory.max").map(Number);
  const v1 = groupFiles("memory", "memory.limit_in_bytes").map(Number);
  // Version 1 writes a number beyond any memory for "no limit".
  const limits = [...v2, ...v1].filter((limit) => Number.isFinite(limit) && limit < totalmem());
  return limits.length === 0 ? null : Math.min(...limits);
}

function cpuLimit(): number | null {
  const limits = groupFiles("", "cpu.max").flatMap((line) => {
    const [quota, period] = line.split(" ").map(Number);
    return quota !== undefined && period !== undefined && quota > 0 ? [quota / period] : [];
  });
  return limits.length === 0 ? null : Math.min(...limits);
}

/** What `file` says in this process's control group of a controller ("" for version 2) and in those around it. */
function groupFiles(controller: string, file: string): string[] {
  const line = text("/proc/self/cgroup")
    .split("\n")
    .map((entry) => entry.split(":"))
    .find(([, controllers = ""]) => controllers.split(",").includes(controller));
  const parts = (line?.[2] ?? "/").split("/").filter((part) => part !== "");
  const found: string[] = [];
  for (let depth = 0; depth <= parts.length; depth++) {
    const said = text(join("/sys/fs/cgroup", controller, ...parts.slice(0, depth), file)).trim();
    if (said !== "") found.push(said);
  }
  return found;
}

function readGpus(): Gpu[] {
  const nvidia = list("/proc/driver/nvidia/gpus").map((slot) => {
    const said = text(`/proc/driver/nvidia/gpus/${slot}/information`);
    const name = /^Model:\s*(.*)$/m.exec(said)?.[1]?.trim() ?? "unknown";
    return { name, vendor: "NVIDIA", driver: "nvidia" };
  });
  const cards = list("/sys/class/drm").filter((name) => /^card\d+$/.test(name));
  const others = cards.flatMap((card): Gpu[] => {
    const folder = `/sys/class/drm/${card}/device`;
    const id = text(`${folder}/vendor`).trim();
    const driver = /^DRIVER=(.*)$/m.exec(text(`${folder}/uevent`))?.[1] ?? null;
    if (id === "" || driver === "nvidia") return [];
    return [{ name: `device ${text(`${folder}/device`).trim()}`, vendor: pciVendors[id] ?? id, driver }];
  });
  return [...nvidia, ...others];
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function permits(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
