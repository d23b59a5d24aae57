/**
 * What a simulated process serves: the gateway, the journal, the streams and the way of a request to them are the product's own;
 * HTTP is left out, and the engine is simulated.
 */

import { Gateway } from "../src/app/mod.ts";
import { asClawError, ClawError } from "../src/base/mod.ts";
import { EngineMetrics, type TokenGenerator } from "../src/engine/mod.ts";
import { Journal } from "../src/journal/mod.ts";
import {
  Admission,
  Completions,
  completion,
  during,
  expectStream,
  type KeptStream,
  KeptStreams,
  type Log,
  parseEventId,
  RequestAccount,
  resumeStream,
  ServedModels,
  type Surroundings,
  type Tenure,
  takeOver,
} from "../src/server/mod.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";
import { type Asked, SimulatedEngine, tokenizer } from "./engine.ts";
import { nextChoice, type ReadEvent, readEvent } from "./events.ts";
import type { SimulatedProcess } from "./process.ts";
import { type SimulatedRecords, SimulatedStore } from "./records.ts";

/** What a client asks for. */
export type ClientRequest =
  | { readonly kind: "open"; readonly body: object }
  /** `last`: the id of the last event that it has. */
  | { readonly kind: "resume"; readonly last: string }
  | { readonly kind: "end"; readonly stream: string };

/** Where a server is, and who looks at what it does. */
export interface ServerWorld {
  readonly cluster: SimulatedCluster;
  readonly records: SimulatedRecords;
  /** How long a stream waits for its client. */
  readonly lingerSeconds: number;
  /** Whether it follows what another server draws. */
  readonly follows: boolean;
  /** Of an answer, so many tokens were drawn. */
  readonly drew: (asked: Asked, count: number) => void;
  /** An event of an answer is sent; `choice` is undefined where it is not the next one of any. */
  delivering(process: SimulatedProcess, event: ReadEvent, choice: number | undefined): void;
  /** A client came back that has so many events of each answer, of a stream that has so many here. */
  resumed(counts: readonly number[], here: readonly number[]): void;
  misled(engine: SimulatedEngine): TokenGenerator;
  misread<T extends { readonly counts: readonly number[] }>(id: T): T;
}

const SECRET = new Uint8Array(32).fill(7);
const MODEL = "simulated";
const CALLER = { tenant: "someone", scopes: [], priorityMin: 0 };
const OWNER = { tenant: CALLER.tenant, revocationIds: [] };
const TIMEOUT_MS = 600_000;
/** Milliseconds since 1970. */
const BEGINNING = 1_800_000_000_000;
/** How far calendars are from each other at most. */
const CALENDAR_MS = 2000;
const nobody = { prompted: () => {}, generated: () => {}, finished: () => {} };
const idle = { load: () => ({ running: 0, waiting: 0, recovering: false }), failure: () => undefined };
const unmeasured = new EngineMetrics().read();

export class SimulatedServer {
  readonly gateway: Gateway;
  readonly streams: KeptStreams;
  readonly engine: SimulatedEngine;
  readonly completions: Completions;
  readonly #process: SimulatedProcess;
  readonly #world: ServerWorld;
  readonly #surroundings: Surroundings;

  constructor(process: SimulatedProcess, world: ServerWorld, log: Log) {
    const { random, schedule, defect } = world.cluster;
    this.#process = process;
    this.#world = world;
    const ahead = random.between(0, CALENDAR_MS);
    const surroundings = {
      now: () => Math.floor(BEGINNING + schedule.now + ahead),
      randomSeed: () => random.below(2 ** 31),
      randomId: () => random.hex(24),
      clock: () => process.clock,
      timeout: (milliseconds: number, expire: () => void) => process.after(milliseconds, expire),
    };
    this.#surroundings = surroundings;
    const differs = (): boolean => defect === "late-owner" && !process.member.active(process.clock);
    this.engine = new SimulatedEngine({ process, random, onToken: world.drew, differs });
    const models = new ServedModels(MODEL, 0);
    models.ready({
      ...{ id: MODEL, tokenizer, context: 4096, textBytesMax: 4096, fingerprint: "simulated", ...idle },
      template: { source: "plain", render: () => [] },
      generator: world.misled(this.engine),
      metrics: () => unmeasured,
    });
    const { clock, timeout } = surroundings;
    const { lingerSeconds: streamsLingerSeconds } = world;
    const settings = { streamsResumable: "asked", streamsLingerSeconds, streamsKeptBytes: 1e9 } as const;
    this.streams = new KeptStreams({ settings: () => settings, timeout });
    const admission = new Admission(() => ({ maxBatch: 256, maxQueueSize: 256 }));
    this.completions = new Completions({ models, surroundings, admission, streams: this.streams });
    const inheriting = { models, surroundings, completions: this.completions, log, metrics: nobody };
    const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => random.below(256));
    this.gateway = new Gateway({
      lease: () => this.#lease(),
      journal: new Journal({
        store: new SimulatedStore(world.cluster, process, world.records),
        secret: SECRET,
        random: bytes,
      }),
      required: true,
      ...{ streams: this.streams, clock, timeout, log },
      takeOver: (found, taking) => {
        if (defect === "early-retirement") void taking.retire().catch(() => {});
        return takeOver(found, taking, { ...inheriting, capabilities: undefined });
      },
      expect: world.follows ? (found) => expectStream(found, { models }) : undefined,
    });
  }

  /** Answers a client, who may be anybody; never throws. */
  async answer(request: ClientRequest, connection: Connection): Promise<void> {
    try {
      const account = new RequestAccount(this.#surroundings.clock, nobody);
      account.caller = CALLER;
      if (request.kind === "open") await this.#open(request.body, account, connection);
      else if (request.kind === "resume") await this.#resume(request.last, account, connection);
      else await this.#end(request.stream, connection);
    } catch (thrown) {
      connection.say({ kind: "refused", error: asClawError(thrown) });
    }
  }

  async #open(body: object, account: RequestAccount, connection: Connection): Promise<void> {
    const tenure = await this.gateway.tenure();
    const asker = {
      ...{ id: this.#surroundings.randomId(), account, tenure, timeoutMs: TIMEOUT_MS },
      signal: AbortSignal.any([connection.left, tenure.signal]),
      report: asClawError,
      onEnd: () => {},
    };
    const response = await during(tenure, () => this.completions.handle(completion, body, asker));
    if (response.type !== "kept") throw new Error("The stream is not kept.");
    const { stream } = response;
    await this.#deliver(stream, { counts: stream.log.counts.map(() => 0), tenure }, connection);
  }

  async #resume(last: string, account: RequestAccount, connection: Connection): Promise<void> {
    const { stream: id, counts } = this.#world.misread(parseEventId(last));
    const parts = { streams: this.streams, standing: this.gateway, door: undefined, account };
    const resumed = await resumeStream({ stream: id, counts }, parts);
    if (resumed === undefined) {
      connection.say({ kind: "nothing" });
      return;
    }
    this.#world.resumed(counts, resumed.stream.log.counts);
    await this.#deliver(resumed.stream, resumed, connection);
  }

  async #end(id: string, connection: Connection): Promise<void> {
    await this.gateway.tenure();
    const ended = new ClawError("E_CANCELLED", "The client ended the stream.");
    this.streams.end(this.streams.find(id, OWNER), ended);
    connection.say({ kind: "nothing" });
  }

  async #deliver(
    stream: KeptStream,
    { counts, tenure }: { readonly counts: readonly number[]; readonly tenure: Tenure },
    connection: Connection,
  ): Promise<void> {
    const signal = AbortSignal.any([connection.left, tenure.signal]);
    let before = counts;
    for await (const text of stream.read(counts, { signal, tenure })) {
      const event = readEvent(text);
      this.#world.delivering(this.#process, event, nextChoice(before, event.counts));
      before = event.counts;
      connection.say({ kind: "event", text });
    }
    if (!signal.aborted) connection.say({ kind: "end" });
  }

  #lease(): ReturnType<SimulatedProcess["member"]["lease"]> {
    const { member, clock } = this.#process;
    const lease = member.lease(clock);
    return this.#world.cluster.defect === "late-owner" ? { ...lease, active: member.holds } : lease;
  }
}
