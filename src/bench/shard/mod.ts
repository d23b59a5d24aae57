export { measureShards, type SplitFigures } from "./measure.ts";
