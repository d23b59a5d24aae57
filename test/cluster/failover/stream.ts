/** A stream of the server, event by event, with when each came. */

export interface StreamRead {
  /** Texts, log-probabilities and how it ended. */
  readonly events: readonly string[];
  /** Milliseconds, of each. */
  readonly times: readonly number[];
}

export async function readStream(
  url: string,
  request: { readonly model: string; readonly prompt: readonly number[]; readonly [name: string]: unknown },
): Promise<StreamRead> {
  const body = JSON.stringify({ ...request, stream: true, ignore_eos: true, logprobs: 1 });
  const headers = { "content-type": "application/json" };
  const reply = await fetch(`${url}/v1/completions`, { method: "POST", headers, body });
  if (!reply.ok || reply.body === null) throw new Error(`${reply.status}: ${await reply.text()}`);
  const [events, times]: [string[], number[]] = [[], []];
  let rest = "";
  for await (const part of reply.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const { choices, error } = JSON.parse(line.slice("data: ".length));
      if (error !== undefined) throw new Error(JSON.stringify(error));
      if (choices[0] === undefined) continue;
      const { text, logprobs, finish_reason: finish } = choices[0];
      events.push(JSON.stringify([text, logprobs, finish]));
      times.push(performance.now());
    }
  }
  return { events, times };
}
