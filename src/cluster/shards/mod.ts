export { joinRanks, type RanksOptions, startRanks } from "./joined.ts";
export { type LinkPlace, PROTOCOL_VERSION, type RankTerms, settingsOf } from "./joining.ts";
export { startLocal } from "./local.ts";
export { Meeting } from "./meeting.ts";
export { runNode } from "./node.ts";
export { startNodes } from "./nodes.ts";
export { type PlacedRuntime, planRanks } from "./placed-runtime.ts";
export { rankProcesses } from "./process-source.ts";
