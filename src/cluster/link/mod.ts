export { answerOf, answerRoom, jsonAnswer, jsonOf, REFUSAL_BYTES_MAX, refusal } from "./answer.ts";
export type { LinkSettings, PeerLink } from "./handshake.ts";
export { SECRET_BYTES } from "./limits.ts";
export { connectPeer, PeerListener } from "./peers.ts";
export { giveAnswer, nextQuestion, Questions } from "./questions.ts";
export { Turns } from "./turns.ts";
