export { parseEventId, wrongEventId } from "./event-id.ts";
export type { KeptStream, StreamOwner } from "./kept-stream.ts";
export { KeptStreams, type StreamCounts } from "./kept-streams.ts";
