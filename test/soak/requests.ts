/** What the soak asks for: requests of random lengths, some with a common beginning, and how an answer is compared. */

import { Generator } from "../../src/model/mod.ts";

export interface SoakRequest {
  readonly prompt: readonly number[];
  readonly max_tokens: number;
  readonly seed: number;
}

/** The text of an answer and the log-probability of each of its tokens, bit for bit. */
export interface Answer {
  readonly text: string;
  readonly logprobs: readonly number[];
  readonly finish: string | null;
}

const COMMON_TOKENS = 64;
const PROMPT_MAX = 48;
const OUTPUT_MAX = 128;

/** So many requests, different ones for another seed. */
export function soakRequests(count: number, seed: number): SoakRequest[] {
  const generator = new Generator(seed, 77);
  const tokens = (length: number): number[] => Array.from({ length }, () => 3 + generator.below(500));
  const common = tokens(COMMON_TOKENS);
  return Array.from({ length: count }, (_, index) => {
    const own = tokens(1 + generator.below(PROMPT_MAX));
    return {
      prompt: index % 3 === 0 ? [...common, ...own] : own,
      max_tokens: 1 + generator.below(OUTPUT_MAX),
      seed: generator.word(),
    };
  });
}

/** Streams an answer; leaves after `pieces` pieces of it where that many are given. Undefined: it left. */
export async function ask(
  url: string,
  request: SoakRequest,
  pieces: number = Number.POSITIVE_INFINITY,
): Promise<Answer | undefined> {
  const away = new AbortController();
  const body = JSON.stringify({ ...request, temperature: 0.9, ignore_eos: true, logprobs: 0, stream: true });
  const headers = { "content-type": "application/json" };
  const sent = fetch(`${url}/v1/completions`, { method: "POST", headers, body, signal: away.signal });
  if (pieces === 0) {
    // Gone while the request is on its way, or waits.
    setTimeout(() => away.abort(), 1);
    await sent.then((response) => response.text()).catch(() => {});
    return undefined;
  }
  const response = await sent;
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  try {
    return await readAnswer(response, pieces);
  } finally {
    away.abort();
  }
}

interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly {
    readonly text: string;
    readonly finish_reason: string | null;
    readonly logprobs: { readonly token_logprobs: readonly number[] } | null;
  }[];
}

async function readAnswer(response: Response, pieces: number): Promise<Answer | undefined> {
  const answer = { text: "", logprobs: [] as number[], finish: null as string | null };
  let seen = 0;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const part of response.body ?? []) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.filter((text) => text.startsWith("data: {"))) {
      const chunk = JSON.parse(line.slice("data: ".length)) as Chunk;
      if (chunk.error !== undefined) throw new Error(chunk.error.message);
      const [choice] = chunk.choices ?? [];
      if (choice === undefined) continue;
      answer.text += choice.text;
      answer.logprobs.push(...(choice.logprobs?.token_logprobs ?? []));
      answer.finish = choice.finish_reason;
      if (++seen >= pieces) return undefined;
    }
  }
  return answer;
}
