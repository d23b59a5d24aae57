/** OpenAI's API as it crosses the wire: requests, responses, errors and events. */

export { errorBody } from "./errors.ts";
export { END_OF_STREAM, encodeEvent } from "./events.ts";
export {
  type AnswerParameters,
  type ChatRequest,
  type CompletionRequest,
  readChatRequest,
  readCompletionRequest,
} from "./requests.ts";
export {
  type AnswerPiece,
  type AnswerRecord,
  chatFormat,
  completionFormat,
  type ResponseFormat,
  type ResponseHead,
  type TokenAlternative,
  type TokenReport,
} from "./responses.ts";
