/** I/O: a client of server-sent events that looks at every byte, and leaves when it likes. */

export interface SseEvent {
  readonly id: string | undefined;
  readonly data: string;
  /** As it came, with the empty line that ends it. */
  readonly raw: string;
}

export interface SseAnswer {
  readonly status: number;
  readonly events: readonly SseEvent[];
  /** Of an answer that is no stream. */
  readonly error: string | undefined;
}

export interface SseRequest {
  readonly url: string;
  readonly key: string;
  readonly method?: "GET" | "POST";
  readonly body?: object;
  readonly lastEventId?: string | undefined;
  /** Leaves when it has so many events; undefined: at the stream's end. */
  readonly leaveAfter?: number | undefined;
}

/** Reads a stream to its end, or until it has enough of it. Also returns what there was where the server goes. */
export async function readEvents(request: SseRequest): Promise<SseAnswer> {
  const { url, key, method = "GET", body, lastEventId, leaveAfter = Number.POSITIVE_INFINITY } = request;
  const controller = new AbortController();
  const response = await fetch(url, {
    method,
    signal: controller.signal,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { status } = response;
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    const text = await response.text();
    const said = text === "" ? undefined : (JSON.parse(text) as { error?: { code: string } });
    return { status, events: [], error: said?.error?.code };
  }
  const events: SseEvent[] = [];
  let rest = "";
  try {
    for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      events.push(...blocks.map((block) => eventOf(`${block}\n\n`)));
      if (events.length >= leaveAfter) break;
    }
  } catch {
    // The connection broke: what came before it counts.
  }
  controller.abort();
  return { status, events: events.slice(0, leaveAfter), error: undefined };
}

function eventOf(raw: string): SseEvent {
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(raw)?.[1];
  return { id: field("id"), data: field("data") ?? "", raw };
}

/** The code of the error that a stream ended with; undefined: it ended with none. */
export function errorCode({ events }: Pick<SseAnswer, "events">): string | undefined {
  const last = events.at(-1)?.data ?? "";
  return last.startsWith('{"error"')
    ? (JSON.parse(last) as { error: { code: string } }).error.code
    : undefined;
}

export function bytesOf({ events }: Pick<SseAnswer, "events">): string {
  return events.map(({ raw }) => raw).join("");
}

/** Without what differs between two requests for the same: the answer's id and the time. */
export function comparable(bytes: string): string {
  return bytes
    .replace(/\b(?:chatcmpl|cmpl)-[0-9a-zA-Z]+/g, "ID")
    .replace(/"created":\d+/g, '"created":0')
    .replace(/"records":\[[^\]]*\]/g, '"records":[]');
}
