/** Bounds of a request; each keeps one client from taking what others need. */

/** Answers to one prompt. */
export const CHOICES_MAX = 16;

/** Answers to all prompts of one request. */
export const ANSWERS_MAX = 128;

/** Stop strings, and the length of each in UTF-16 units: all are looked for after every token. */
export const STOPS_MAX = 16;
export const STOP_LENGTH_MAX = 1024;

/** Messages of a chat. */
export const MESSAGES_MAX = 65_536;

/** `max_tokens` of a completion that does not say (OpenAI's). */
export const COMPLETION_TOKENS_DEFAULT = 16;
