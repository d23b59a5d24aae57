/** I/O: clients that stream one answer after the other, and what each of them was given. */

/** One request as its client saw it. */
export interface Streamed {
  /** Its id, by which the ledger's entries name it. */
  readonly request: string;
  /** Tokens received. */
  tokens: number;
  /** Where the answer stands, once its end was received. */
  record?: { readonly entry: number; readonly leaf_hash: string } | undefined;
  /** The code of an error, and whether it came in place of an answer or after some of it. */
  refused?: string;
  broken?: string;
}

interface Chunk {
  readonly error?: { readonly code: string };
  readonly choices?: readonly { readonly logprobs: { readonly tokens: readonly string[] } | null }[];
  readonly openclaw?: {
    readonly records?: readonly { readonly entry: number; readonly leaf_hash: string }[];
  };
}

export class StreamClients {
  readonly streams: Streamed[] = [];
  readonly #url: string;
  readonly #running: Promise<void>[];
  #stopped = false;

  /** A client for each of `lengths`, the tokens of its answers; `name` begins the ids of their requests. */
  constructor(url: string, { name, lengths }: { name: string; lengths: readonly number[] }) {
    this.#url = url;
    this.#running = lengths.map((maxTokens, client) => this.#ask(`${name}-${client}`, maxTokens));
  }

  /** Streams that have tokens and neither an end nor an error. */
  get cutOff(): Streamed[] {
    return this.streams.filter(
      ({ tokens, record, broken }) => tokens > 0 && (record ?? broken) === undefined,
    );
  }

  /** Sends nothing more and waits for what runs. */
  async end(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #ask(name: string, maxTokens: number): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const stream: Streamed = { request: `${name}-${i}`, tokens: 0 };
      this.streams.push(stream);
      try {
        await receive(stream, await this.#post(stream.request, { seed: i, max_tokens: maxTokens }));
      } catch {
        return; // the server has gone
      }
      // A refusal comes at once: the next request need not.
      if (stream.refused !== undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #post(request: string, asked: { seed: number; max_tokens: number }): Promise<Response> {
    const headers = { "content-type": "application/json", "x-request-id": request };
    // Each token comes with its log-probability, and so is counted also where it spells nothing.
    const body = { prompt: "Once", ignore_eos: true, logprobs: 0, stream: true, ...asked };
    return fetch(`${this.#url}/v1/completions`, { method: "POST", headers, body: JSON.stringify(body) });
  }
}

async function receive(stream: Streamed, response: Response): Promise<void> {
  if (response.status !== 200) {
    stream.refused = ((await response.json()) as Required<Pick<Chunk, "error">>).error.code;
    return;
  }
  let rest = "";
  for await (const bytes of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + bytes).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const { error, choices = [], openclaw } = JSON.parse(line.slice("data: ".length)) as Chunk;
      stream.tokens += choices[0]?.logprobs?.tokens.length ?? 0;
      if (openclaw?.records !== undefined) stream.record = openclaw.records[0];
      if (error !== undefined) stream.broken = error.code;
    }
  }
}
