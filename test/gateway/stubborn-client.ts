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

/** How long others are asked instead of a server that did not speak, where there are any. */
const SILENT_MS = 3000;

export class StubbornClient {
  readonly events: SseEvent[] = [];
  /** When each came, in milliseconds of `performance.now()`. */
  readonly times: number[] = [];
  readonly trouble: Trouble = { breaks: 0, restarts: 0, gapMs: 0, told: {} };
  /** Resolves when it has everything. */
  readonly done: Promise<void>;
  readonly #options: ClientOptions;
  /** Until when those that let it wait in vain are passed over. */
  readonly #silent = new Map<string, number>();
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
    const { body, firstPatienceMs } = this.#options;
    const url = this.#choose();
    const last = this.events.at(-1)?.id;
    const patienceMs = (last === undefined ? firstPatienceMs : undefined) ?? this.#options.patienceMs;
    const controller = new AbortController();
    // Who began to answer and has nothing yet is no silent one.
    let heard = false;
    const leave = (): void => {
      if (!heard || this.events.at(-1)?.id !== last) this.#silent.set(url, performance.now() + SILENT_MS);
      controller.abort();
    };
    let timer = setTimeout(leave, patienceMs);
    try {
      const { signal } = controller;
      const response = await (last === undefined
        ? fetch(`${url}/v1/completions`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify(body),
            signal,
          })
        : fetch(`${url}/v1/streams/${last.split(":")[0]}`, { headers: { "last-event-id": last }, signal }));
      heard = true;
      if (response.status !== 200) {
        this.#told(await response.text());
        return;
      }
      let rest = "";
      for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        clearTimeout(timer);
        timer = setTimeout(leave, this.#options.patienceMs);
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) this.#take(`${block}\n\n`);
      }
    } finally {
      clearTimeout(timer);
      controller.abort();
    }
  }

  /** Those that speak, by turns; all of them where none does. */
  #choose(): string {
    const urls = this.#options.urls();
    const now = performance.now();
    const speaking = urls.filter((url) => (this.#silent.get(url) ?? 0) < now);
    const list = speaking.length > 0 ? speaking : urls;
    return list[this.#turn % list.length] ?? "";
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
