/** What training leaves behind: model files. */

export { exportAdapter, mergeAdapter } from "./adapter-file.ts";
export { type ExportType, exportModel, exportTypes } from "./model-file.ts";
export { readModel } from "./read.ts";
export { STORY_TEMPLATE } from "./story-template.ts";
