/**
 * A simulated client: opens a stream, loses its connections, comes back with the id of the last event that it has, at any server,
 * and compares all that it is told with what an undisturbed stream says.
 */

import type { ClawError } from "../src/base/mod.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { Connection, type ConnectionListener, type Message } from "./connection.ts";
import { type Asked, Drawing, textOf } from "./engine.ts";
import { nextChoice, type ReadEvent, readEvent } from "./events.ts";
import type { SimulatedProcess } from "./process.ts";
import type { ClientRequest } from "./server.ts";
import type { StreamCounts } from "./stream-counts.ts";

/** What passes by itself: another try may succeed. */
const passing: ReadonlySet<string> = new Set(["E_STANDBY", "E_CONTROL", "E_SHUTDOWN"]);

/** Of an answer: it has to end while everything is whole. */
const TOKENS_MAX = 120;

/** So many of the clients do not want all that they asked for. */
const LEAVING = 0.1;

/** How much less than a stream waits for its client may be too long for it: clocks run unlike, and messages are on their way. */
const LINGER_RATE = 0.97;
const LINGER_LESS_MS = 700;

/** How often a client looks at the clock. */
const LOOK_MS = 150;

/** Where a client is. */
export interface ClientWorld {
  readonly cluster: SimulatedCluster;
  readonly counts: StreamCounts;
  /** How long a stream waits for its client. */
  readonly lingerSeconds: number;
  /** A server that it may ask. */
  anyServer(): SimulatedProcess | undefined;
  ask(connection: Connection, request: ClientRequest): void;
}

interface Wish {
  readonly index: number;
  readonly choices: number;
  readonly tokens: number;
  readonly logprobs: boolean;
  readonly counted: boolean;
  /** Leaves for good when it has had so many events. */
  readonly leavesAfter: number;
}

export class SimulatedClient implements ConnectionListener {
  readonly #world: ClientWorld;
  readonly #wish: Wish;
  /** How long it waits for a word. */
  readonly #patienceMs: number;
  #attempt = 0;
  /** What each answer's events say, spelled as `saying` does. */
  #expected: readonly (readonly string[])[] = [];
  #stream: string | undefined;
  #counts: readonly number[] = [];
  #last = "";
  #connection: Connection | undefined;
  #heardAt = 0;
  /** When it had its last event. */
  #eventAt = 0;
  #events = 0;
  #gone = false;
  /** What it wants now. */
  #wants: ClientRequest["kind"] | "nothing" = "open";

  constructor(world: ClientWorld, index: number) {
    const { random } = world.cluster;
    this.#world = world;
    this.#wish = {
      index,
      choices: 1 + random.below(3),
      tokens: 1 + random.below(TOKENS_MAX),
      logprobs: random.chance(0.3),
      counted: random.chance(0.3),
      leavesAfter: random.chance(LEAVING) ? random.below(TOKENS_MAX) : Number.POSITIVE_INFINITY,
    };
    this.#patienceMs = random.between(400, 2500);
  }

  /** Whether the server said that a stream is opened, whatever became of it. */
  get opened(): boolean {
    return this.#stream !== undefined;
  }

  /** Whether it has all that it asked for. */
  get whole(): boolean {
    return (
      this.#expected.length > 0 &&
      this.#expected.every(({ length }, choice) => this.#counts[choice] === length)
    );
  }

  /** Whether it needs no more, or was away for so long that its stream did not wait for it. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Asks for what it wants, of some server. */
  begin(): void {
    const request = this.#request();
    const process = this.#world.anyServer();
    if (request === undefined) return;
    const { cluster } = this.#world;
    if (process === undefined || process.partitioned) {
      this.#again();
      return;
    }
    const connection = new Connection(cluster, process, this);
    this.#connection = connection;
    this.#heardAt = cluster.schedule.now;
    this.#world.ask(connection, request);
    this.#watch(connection);
  }

  said(message: Message): void {
    this.#heardAt = this.#world.cluster.schedule.now;
    if (message.kind === "event") {
      const problem = this.#hear(readEvent(message.text));
      if (problem !== undefined) this.#complain(problem);
      else if (++this.#events > this.#wish.leavesAfter) this.#go("left");
    } else if (message.kind === "refused") {
      this.#refused(message.error);
    } else if (this.whole) {
      if (this.#wants === "end") this.#world.counts.deleted++;
      this.#leave();
      this.#wants = this.#afterwards();
      this.#again();
    } else {
      const said = message.kind === "end" ? "all was said" : "nothing follows";
      this.#complain(`was told that ${said} after ${this.#last}`);
    }
  }

  broke(): void {
    this.#leave();
    this.#again();
  }

  /** Some come back although they have all, some say that they need no more, some do neither. */
  #afterwards(): ClientRequest["kind"] | "nothing" {
    const { random } = this.#world.cluster;
    if (this.#wants === "end" || random.chance(0.3)) return "nothing";
    return this.#wants === "open" && random.chance(0.5) ? "resume" : "end";
  }

  #request(): ClientRequest | undefined {
    if (this.#wants === "nothing") return undefined;
    if (this.#stream === undefined) return { kind: "open", body: this.#ask() };
    if (this.#wants === "end") return { kind: "end", stream: this.#stream };
    return { kind: "resume", last: this.#last };
  }

  /** The next attempt is another stream, with other tokens: one that nobody was told of may go on for nobody. */
  #ask(): object {
    const { index, choices, tokens, logprobs, counted } = this.#wish;
    const prompt = [index + 10, 10 + this.#attempt++];
    const seed = index * 1000 + this.#attempt;
    const asked = (choice: number): Asked => ({
      prompt: Int32Array.from(prompt),
      maxTokens: tokens,
      sampling: { seed, choice, logprobs: logprobs ? 1 : undefined },
    });
    this.#expected = expectedOf(
      Array.from({ length: choices }, (_, choice) => asked(choice)),
      counted,
    );
    this.#counts = this.#expected.map(() => 0);
    return {
      ...{ prompt, seed, max_tokens: tokens, n: choices, stream: true, openclaw: { resumable: true } },
      ...(logprobs ? { logprobs: 1 } : {}),
      ...(counted ? { stream_options: { include_usage: true } } : {}),
    };
  }

  /** Takes an event in; what is wrong with it. */
  #hear({ id, stream, counts, data }: ReadEvent): string | undefined {
    if (this.#stream === undefined) {
      this.#stream = stream;
      this.#world.counts.opened++;
    }
    const choice = nextChoice(this.#counts, counts);
    if (stream !== this.#stream || choice === undefined) {
      return `was told ${id} after ${this.#last || "nothing"}`;
    }
    const [told, expected] = [saying(data), this.#expected[choice]?.[(counts[choice] ?? 0) - 1]];
    if (told !== expected) return `was told ${told} by ${id}, not ${expected}`;
    this.#counts = counts;
    this.#last = id;
    this.#eventAt = this.#world.cluster.schedule.now;
    this.#world.counts.events++;
    if (this.whole) this.#world.counts.whole++;
    return undefined;
  }

  #refused({ code, message }: ClawError): void {
    const { counts } = this.#world;
    if (code === "E_STANDBY") counts.standby++;
    if (code === "E_CONTROL") counts.unkept++;
    this.#leave();
    // A stream that its client ended may be gone when it asks once more, having heard nothing.
    if (code === "E_STREAM" && this.#wants === "end") this.#wants = "nothing";
    else if (code === "E_STREAM" && this.#late) this.#go("missed");
    else if (!passing.has(code)) this.#complain(`was refused after ${this.#last}: ${code}: ${message}`);
    this.#again();
  }

  /** Whether its stream may have been given up: no server that held the lease heard of it for that long. */
  get #late(): boolean {
    const away = this.#world.cluster.schedule.now - this.#eventAt;
    return away > this.#world.lingerSeconds * 1000 * LINGER_RATE - LINGER_LESS_MS;
  }

  #go(how: "left" | "missed"): void {
    this.#world.counts[how]++;
    this.#gone = true;
    this.#wants = "nothing";
    this.#leave();
  }

  #watch(connection: Connection): void {
    const { schedule } = this.#world.cluster;
    schedule.after(LOOK_MS, () => {
      if (this.#connection !== connection) return;
      if (schedule.now - this.#heardAt < this.#patienceMs) {
        this.#watch(connection);
      } else {
        this.#leave();
        this.#again();
      }
    });
  }

  #leave(): void {
    this.#connection?.leave();
    this.#connection = undefined;
  }

  #again(): void {
    const { random, schedule } = this.#world.cluster;
    schedule.after(random.between(10, 300), () => this.begin());
  }

  #complain(problem: string): void {
    this.#world.cluster.violation(`Client ${this.#wish.index} ${problem}.`);
    // Once is enough.
    this.#wants = "nothing";
    this.#leave();
  }
}

/** What each answer's events say of an undisturbed stream. */
function expectedOf(answers: readonly Asked[], counted: boolean): string[][] {
  let tokens = 0;
  const expected = answers.map((asked, choice) => {
    const drawing = new Drawing(asked);
    const events: string[] = [];
    for (let finish: string | undefined; finish === undefined; tokens++) {
      const { token, finish: ended } = drawing.next();
      finish = ended;
      events.push(`${choice} ${JSON.stringify(textOf(token))} ${ended ?? null}`);
    }
    return events;
  });
  expected[0]?.push(...(counted ? [`${tokens} tokens`] : []), "[DONE]");
  return expected;
}

/** What an event says: an answer's text and whether it ends, how many tokens there were, or that it was the last one. */
function saying(data: string): string {
  if (data === "[DONE]") return data;
  const { choices, usage } = JSON.parse(data) as {
    readonly choices: readonly {
      readonly index: number;
      readonly text: string;
      readonly finish_reason: string | null;
    }[];
    readonly usage?: { readonly completion_tokens: number } | null;
  };
  const [choice] = choices;
  if (choice === undefined) return `${usage?.completion_tokens} tokens`;
  return `${choice.index} ${JSON.stringify(choice.text)} ${choice.finish_reason}`;
}
