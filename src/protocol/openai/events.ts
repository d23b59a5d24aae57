/** Server-sent events as OpenAI's API streams them (WHATWG HTML, 9.2). */

/** What follows the last event. */
export const END_OF_EVENTS = "data: [DONE]\n\n";

/** One event; JSON holds no line break, so its text is one line. */
export function encodeEvent(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
