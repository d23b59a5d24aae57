/** I/O: one streamed completion over HTTP, with the time of every piece. */

import { Agent, type IncomingMessage, request } from "node:http";
import type { RequestTimes } from "./record.ts";
import type { PlannedRequest } from "./workload.ts";

export interface Target {
  /** `http://host:port` */
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly agent: Agent;
}

export function openTarget(url: string, apiKey: string | undefined): Target {
  return { url, apiKey, agent: new Agent({ keepAlive: true }) };
}

interface Sending {
  readonly plan: PlannedRequest;
  /** Milliseconds since the load began. */
  readonly clock: () => number;
  /** Called with each piece. */
  readonly onToken?: (ms: number) => void;
  /** Leaves before the answer is whole, as a client that goes away. */
  readonly signal?: AbortSignal;
}

/** Sends the request and reads its answer; never rejects: what goes wrong is in `error`. */
export async function complete(target: Target, sending: Sending): Promise<RequestTimes> {
  const { plan, clock, onToken } = sending;
  const sentMs = clock();
  const tokenMs: number[] = [];
  let outputTokens = 0;
  let error: string | undefined;
  try {
    const response = await post(target, sending);
    if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${await textOf(response)}`);
    for await (const event of events(response)) {
      if (event.error !== undefined) throw new Error(event.error.message);
      if (event.usage) outputTokens = event.usage.completion_tokens;
      if (!event.choices?.length) continue;
      tokenMs.push(clock());
      onToken?.(clock());
    }
    if (outputTokens !== plan.outputTokens) error = `${outputTokens} tokens instead of ${plan.outputTokens}`;
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  return { promptTokens: plan.prompt.length, outputTokens, sentMs, tokenMs, endMs: clock(), error };
}

function post({ url, apiKey, agent }: Target, { plan, signal }: Sending): Promise<IncomingMessage> {
  const body = JSON.stringify({
    prompt: plan.prompt,
    max_tokens: plan.outputTokens,
    ignore_eos: true,
    temperature: 0,
    seed: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    };
    const options = { method: "POST", agent, headers, ...(signal && { signal }) };
    request(`${url}/v1/completions`, options, resolve).on("error", reject).end(body);
  });
}

interface Event {
  readonly choices?: readonly object[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string };
}

const DATA = "data: ";

/** The objects of a stream of server-sent events. */
async function* events(response: IncomingMessage): AsyncGenerator<Event, void, void> {
  let rest = "";
  for await (const part of response.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith(DATA) && line !== `${DATA}[DONE]`) yield JSON.parse(line.slice(DATA.length));
    }
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of response.setEncoding("utf8") as AsyncIterable<string>) text += part;
  return text;
}
