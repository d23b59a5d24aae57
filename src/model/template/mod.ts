/** Chats to text, with the template of the model or a plain transcript, and on to tokens. */

export {
  type ChatTemplate,
  createChatTemplate,
  encodePieces,
  type RenderOptions,
  type TemplatePiece,
} from "./chat-template.ts";
export type { ChatMessage } from "./messages.ts";
export { plainStops } from "./plain.ts";
