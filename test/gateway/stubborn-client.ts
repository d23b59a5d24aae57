/** I/O: a client that wants all of its stream, from whichever server goes on with it. */

import { setTimeout as sleep } from "node:timers/promises";
import type { SseEvent } from "../server/sse-client.ts";

export interface Trouble {
  /** Connections that broke, or ended with an error, in the middle of the stream. */
  breaks: number;
  /** Times that it had to begin anew, because it had nothing yet. */
  restarts: number;
  /** The longest time between two events, in milliseconds. */
  gapMs: number;
  /** Errors that it was told, by their codes. */
  readonly told: Record<string, number>;
}

export interface ClientOptions {
  /** Where servers answer, the first one first. */
  readonly urls: () => readonly string[];
  readonly body: object;
  /** Gives a connection up when nothing came for so long. */
  readonly patienceMs: number;
  /** And when it has nothing yet; undefined: the same. */
  readonly firstPatienceMs?: number;
  readonly deadlineMs: number;
}

export class StubbornClient {
  readonly events: SseEvent[] = [];
  /** When each came, in milliseconds of `performance.now()`. */
  readonly times: number[] = [];
  readonly trouble: Trouble = { breaks: 0, restarts: 0, gapMs: 0, told: {} };
  /** Resolves when it has everything. */
  readonly done: Promise<void>;
  readonly #options: ClientOptions;
  #lastAt = 0;
  #turn = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.done = this.#insist();
  }

  get complete(): boolean {
    return this.events.at(-1)?.data === "[DONE]";
  }

  async #insist(): Promise<void> {
    const end = performance.now() + this.#options.deadlineMs;
    for (;;) {
      const before = this.events.length;
      await this.#connect().catch(() => {});
      if (this.complete) return;
      if (this.events.length > before) this.trouble.breaks++;
      else if (before === 0) this.trouble.restarts++;
      if (performance.now() > end) throw new Error(`A stream is not whole: ${JSON.stringify(this.trouble)}`);
      this.#turn++;
      await sleep(20);
    }
  }

  async #connect(): Promise<void> {
    const { patienceMs, firstPatienceMs = patienceMs } = this.#options;
    const last = this.events.at(-1)?.id;
    const over = new AbortController();
    try {
      const response = await (last === undefined
        ? this.#begin(AbortSignal.any([over.signal, AbortSignal.timeout(firstPatienceMs)]))
        : this.#resume(last, over.signal));
      if (response.status === 200) await this.#read(response, over);
      else this.#told(await response.text());
    } finally {
      over.abort();
    }
  }

  #begin(signal: AbortSignal): Promise<Response> {
    const { urls, body } = this.#options;
    const list = urls();
    const headers = { "content-type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify(body), signal };
    return fetch(`${list[this.#turn % list.length]}/v1/completions`, request);
  }

  /** Asks all at once, each again and again: the first that goes on is the one. Rejects when none does for too long. */
  async #resume(last: string, over: AbortSignal): Promise<Response> {
    const end = AbortSignal.timeout(this.#options.patienceMs);
    const won = new AbortController();
    const path = `/v1/streams/${last.split(":")[0]}`;
    const insist = async (url: string): Promise<Response> => {
      for (;;) {
        const left = new AbortController();
        const leave = (): void => left.abort();
        const ends = [end, won.signal];
        for (const each of ends) each.addEventListener("abort", leave);
        const signal = AbortSignal.any([left.signal, over]);
        try {
          const response = await fetch(url + path, { headers: { "last-event-id": last }, signal });
          if (response.status === 200) return response;
          this.#told(await response.text());
        } catch {
          // It is gone, or does not speak.
        } finally {
          // Who goes on is read for as long as it takes.
          for (const each of ends) each.removeEventListener("abort", leave);
        }
        if (end.aborted || won.signal.aborted || over.aborted) throw new Error("Another goes on, or none.");
        await sleep(50);
      }
    };
    try {
      return await Promise.any(this.#options.urls().map(insist));
    } finally {
      won.abort();
    }
  }

  async #read(response: Response, over: AbortController): Promise<void> {
    const { patienceMs, firstPatienceMs = patienceMs } = this.#options;
    const wait = (ms: number): NodeJS.Timeout => setTimeout(() => over.abort(), ms);
    let timer = wait(this.events.length === 0 ? firstPatienceMs : patienceMs);
    try {
      let rest = "";
      for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        clearTimeout(timer);
        timer = wait(patienceMs);
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) this.#take(`${block}\n\n`);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(raw: string): void {
    const id = /^id: (.*)$/m.exec(raw)?.[1];
    const data = /^data: (.*)$/m.exec(raw)?.[1] ?? "";
    if (id === undefined) {
      this.#told(data);
      return;
    }
    const now = performance.now();
    if (this.#lastAt > 0) this.trouble.gapMs = Math.max(this.trouble.gapMs, now - this.#lastAt);
    this.#lastAt = now;
    this.events.push({ id, data, raw });
    this.times.push(now);
  }

  #told(text: string): void {
    const code = /"code":"(E_\w+)"/.exec(text)?.[1];
    if (code !== undefined) this.trouble.told[code] = (this.trouble.told[code] ?? 0) + 1;
  }
}
