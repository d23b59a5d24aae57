import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
    // Processes and threads that tests start read the sources as an earlier one compiled them, or each would take half a second.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL("node_modules/.cache/claw-tests", import.meta.url)) },
    // As in ./claw, which says why.
    execArgv: ["--wasm-wrapper-tiering-budget=2147483647"],
    projects: [
      { extends: true, test: { name: "tidy", include: ["test/tidy.test.ts"] } },
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts", "src/**/*.test.ts"],
          exclude: ["test/tidy.test.ts", "test/soak/**"],
        },
      },
      // Minutes long, and alone: `npm run test:soak`.
      { extends: true, test: { name: "soak", include: ["test/soak/**/*.test.ts"] } },
    ],
  },
});

export default config;
