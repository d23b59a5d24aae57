/** Bounds of a request; each keeps one client from taking what others need. */

/** Answers to one prompt. */
export const CHOICES_MAX = 16;

/** Answers to all prompts of one request. */
export const ANSWERS_MAX = 128;

/** Stop strings, and the length of each in UTF-16 units: all are looked for after every token. */
export const STOPS_MAX = 16;
export const STOP_LENGTH_MAX = 1024;

/** Messages of a chat, and the parts that the content of one may come in. */
export const MESSAGES_MAX = 65_536;
export const CONTENT_PARTS_MAX = 1024;

/** Token ids of one prompt: a context of a million tokens. What is served may hold less. */
export const PROMPT_TOKENS_MAX: number = 1024 * 1024;

/** A token's id is a 32-bit integer in the engine. */
export const TOKEN_ID_MAX: number = 2 ** 31 - 1;

/** What the engine takes of one request, which a test compares: stop tokens, biases, alternatives to a token. */
export const STOP_TOKENS_MAX = 64;
export const LOGIT_BIAS_MAX = 1024;
export const TOP_LOGPROBS_MAX = 20;

/** `max_tokens` of a completion that does not say (OpenAI's). */
export const COMPLETION_TOKENS_DEFAULT = 16;

/** Priorities lie between this and its negative; a test compares it with the configuration's. */
export const PRIORITY_MAX = 1000;
