/**
 * Which room of `src/` may import which, from the lowest to the highest. ARCHITECTURE.md prints the same table and
 * the tidy test compares the two. A room may only name rooms above its own row.
 */
export const layers: Readonly<Record<string, readonly string[]>> = {
  base: [],
  crypto: ["base"],
  tensor: ["base"],
  protocol: ["base"],
  config: ["base"],
  kernels: ["base", "tensor"],
  model: ["base", "tensor", "kernels"],
  engine: ["base", "tensor", "kernels", "model"],
  ledger: ["base", "crypto"],
  capability: ["base"],
  journal: ["base"],
  seal: ["base", "crypto", "model"],
  records: ["base", "crypto"],
  verify: ["base", "crypto", "records"],
  audit: ["base", "crypto", "kernels", "engine", "ledger", "records"],
  train: ["base", "crypto", "tensor", "kernels", "model"],
  cluster: ["base", "crypto", "tensor", "kernels", "model", "engine", "journal"],
  bench: [
    "base",
    "crypto",
    "tensor",
    "kernels",
    "model",
    "engine",
    "ledger",
    "capability",
    "records",
    "train",
    "cluster",
  ],
  server: ["base", "capability", "journal", "protocol", "config", "engine", "model", "audit"],
  app: [
    "base",
    "capability",
    "journal",
    "tensor",
    "seal",
    "protocol",
    "config",
    "kernels",
    "model",
    "engine",
    "cluster",
    "audit",
    "server",
  ],
  cli: [
    "base",
    "crypto",
    "capability",
    "tensor",
    "seal",
    "protocol",
    "config",
    "kernels",
    "model",
    "engine",
    "cluster",
    "ledger",
    "records",
    "audit",
    "train",
    "bench",
    "server",
    "app",
  ],
};

/** Files outside `src/` that a room may import beside packages. */
export const outside: Readonly<Record<string, readonly string[]>> = {
  kernels: ["tools/build-native.mjs"],
  cli: ["tools/build-verify.ts"],
};

/** The table of ARCHITECTURE.md. */
export function layerTable(): string {
  const rows = Object.entries(layers).map(
    ([room, names]) => `| ${room} | ${names.join(", ") || "nothing"} |`,
  );
  return ["| Room | May import |", "|---|---|", ...rows].join("\n");
}
