export { type LinkFigures, MESSAGES_DEFAULT, measureLinks } from "./measure.ts";
