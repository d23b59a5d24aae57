export { parseEventId, wrongEventId } from "./event-id.ts";
export { type JournalCounts, JournalledStream, type StreamJournal } from "./journalling.ts";
export type { KeptStream, StreamOwner } from "./kept-stream.ts";
export { KeptStreams, type StreamCounts } from "./kept-streams.ts";
export { type Opening, readOpening, writeOpening } from "./opening.ts";
export { alone, during, type Standing, type Tenure } from "./standing.ts";
