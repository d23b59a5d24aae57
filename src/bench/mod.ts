export { ROUNDS_DEFAULT } from "./limits.ts";
export { recordSection } from "./record.ts";
export { type BenchReport, benchNames } from "./report.ts";
export { runBench } from "./run.ts";
