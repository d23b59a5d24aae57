export { type LinkFigures, measureLinks } from "./measure.ts";
