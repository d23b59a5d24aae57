/** Server-sent events as OpenAI's API streams them (WHATWG HTML, 9.2). */

/** What the last event of a stream says. */
export const END_OF_STREAM = "[DONE]";

/** One event. `data`, one line: JSON holds no line break. `id`: what a client that lost its connection sends as `Last-Event-ID`. */
export function encodeEvent(data: string, id?: string): string {
  const line = `data: ${data}\n\n`;
  return id === undefined ? line : `id: ${id}\n${line}`;
}
