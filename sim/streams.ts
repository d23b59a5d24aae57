/** Streams on a simulated cluster: its servers and their clients, what is counted of them, and what must never happen. */

import type { TokenGenerator } from "../src/engine/mod.ts";
import { createLog, type Log } from "../src/server/mod.ts";
import { type ClientWorld, SimulatedClient } from "./client.ts";
import { type Load, roleOf, type SimulatedCluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";
import { type Asked, Drawing, type SimulatedEngine } from "./engine.ts";
import type { ReadEvent } from "./events.ts";
import type { SimulatedProcess } from "./process.ts";
import { SimulatedRecords } from "./records.ts";
import { type ClientRequest, type ServerWorld, SimulatedServer } from "./server.ts";
import { noStreams, type StreamCounts } from "./stream-counts.ts";

/** What a server says of what should not be. */
interface Complaint {
  readonly msg: string;
  readonly code?: string;
  readonly reason?: string;
}

/** How long streams wait for their clients: longer than any simulation, or not even as long as a partition. */
const LINGER_SECONDS = [300, 4] as const;

/** In so many of the seeds standbys follow. */
const FOLLOWING = 0.25;
/** As often a client asks the holder of the lease, as something that looks at /health would have it. */
const INFORMED = 0.5;

export class SimulatedStreams implements Load, ServerWorld, ClientWorld {
  readonly cluster: SimulatedCluster;
  readonly records: SimulatedRecords;
  readonly lingerSeconds: number;
  /** Whether standbys follow what the holder draws. */
  readonly follows: boolean;
  readonly counts: StreamCounts = noStreams();
  readonly #servers = new Map<SimulatedProcess, SimulatedServer>();
  readonly #clients: SimulatedClient[] = [];
  readonly #connections = new Set<Connection>();
  readonly #log: Log;
  /** Of each answer of a request, how many tokens were drawn. */
  readonly #drawn = new Map<string, number>();
  /** What servers sent, by stream, answer and number. */
  readonly #told = new Map<string, string>();
  /** What each process knew of the lease when it looked last. */
  readonly #seen = new Map<SimulatedProcess, string>();

  constructor(cluster: SimulatedCluster) {
    this.cluster = cluster;
    this.records = new SimulatedRecords(cluster);
    this.lingerSeconds = LINGER_SECONDS[cluster.random.below(2)] ?? 0;
    this.follows = cluster.random.chance(FOLLOWING);
    const sink = { write: (line: string) => this.#noted(JSON.parse(line) as Complaint) };
    this.#log = createLog({ logLevel: "error", logFormat: "json" }, sink);
    cluster.load = this;
  }

  /** Has so many clients come by then. */
  invite(count: number, milliseconds: number): void {
    const { random, schedule } = this.cluster;
    for (let index = 0; index < count; index++) {
      const client = new SimulatedClient(this, index);
      this.#clients.push(client);
      schedule.after(random.between(0, milliseconds), () => client.begin());
    }
  }

  started(process: SimulatedProcess): void {
    if (roleOf(process.name) === "server") {
      this.#servers.set(process, new SimulatedServer(process, this, this.#log));
    }
  }

  looked(process: SimulatedProcess): void {
    const server = this.#servers.get(process);
    if (server === undefined) return;
    const { active, epoch, holder } = process.member.lease(process.clock);
    const seen = `${active} ${epoch} ${holder}`;
    server.gateway.look();
    if (this.#seen.get(process) === seen) return;
    this.#seen.set(process, seen);
    this.cluster.schedule.stir();
  }

  stopping(process: SimulatedProcess): void {
    this.#servers.get(process)?.gateway.handOver();
    this.cluster.schedule.stir();
  }

  died(process: SimulatedProcess): void {
    for (const connection of this.#connections) {
      if (connection.process === process) connection.break();
      if (!connection.open) this.#connections.delete(connection);
    }
  }

  /** A server's runtime is lost, and another one is there after so many milliseconds. */
  loseRuntime(process: SimulatedProcess, milliseconds: number): void {
    const server = this.#servers.get(process);
    if (server === undefined) return;
    this.counts.runtimes++;
    server.engine.lose(milliseconds);
  }

  /** A server that a client may ask; two that have one name are in two places. */
  anyServer(): SimulatedProcess | undefined {
    const { random, plane } = this.cluster;
    const alive = [...this.#servers.keys()].filter(({ dead }) => !dead);
    const life = random.chance(INFORMED) ? plane.state?.holder.life : undefined;
    return alive.find((process) => process.life === life) ?? alive[random.below(alive.length)];
  }

  ask(connection: Connection, request: ClientRequest): void {
    const { process } = connection;
    this.#connections.add(connection);
    this.cluster.send(process, () => {
      process.wake(() => {
        void this.#servers.get(process)?.answer(request, connection);
        this.cluster.schedule.stir();
      });
    });
  }

  readonly drew = ({ prompt, sampling }: Asked, count: number): void => {
    const answer = `${prompt.join()} ${sampling.choice}`;
    this.counts.drawn++;
    if (count <= (this.#drawn.get(answer) ?? 0)) this.counts.drawnAgain++;
    else this.#drawn.set(answer, count);
  };

  /** A server that says it to whoever listens has to hold the lease, and may not say anything else than others did. */
  delivering(
    process: SimulatedProcess,
    { stream, counts, data }: ReadEvent,
    choice: number | undefined,
  ): void {
    const { name, member, clock } = process;
    if (!member.active(clock)) this.cluster.violation(`${name} sends an event without the lease.`);
    const other = this.cluster.processes.find((each) => {
      return each !== process && each.running && each.member.active(each.clock);
    });
    if (other !== undefined)
      this.cluster.violation(`${name} sends an event while ${other.name} has the lease.`);
    const place = `${stream} ${choice} ${counts[choice ?? 0]}`;
    const before = this.#told.get(place) ?? data;
    this.#told.set(place, before);
    if (before !== data) this.cluster.violation(`${name} sends ${data} where ${before} was sent.`);
  }

  resumed(counts: readonly number[], here: readonly number[]): void {
    const both = counts.map((count, choice) => Math.min(count, here[choice] ?? 0));
    this.counts.passedOver += sum(both);
    if (sum(both) < sum(counts)) this.counts.behind++;
  }

  /** The engine as servers ask it: where that is planted, wrongly. */
  misled(engine: SimulatedEngine): TokenGenerator {
    const { defect } = this.cluster;
    if (defect !== "one-token-too-few" && defect !== "one-token-too-many") return engine;
    return {
      generate: (request) => {
        const { drawn } = request;
        if (drawn === undefined) return engine.generate(request);
        if (defect === "one-token-too-few") return engine.generate({ ...request, drawn: drawn.slice(0, -1) });
        const drawing = new Drawing(request);
        for (const token of drawn) drawing.take(token);
        return engine.generate({ ...request, drawn: Int32Array.of(...drawn, drawing.next().token) });
      },
    };
  }

  /** The id of an event as servers understand it: where that is planted, wrongly. */
  misread<T extends { readonly counts: readonly number[] }>(id: T): T {
    const { defect } = this.cluster;
    const [first = 0, ...rest] = id.counts;
    if (defect === "one-event-too-few") return { ...id, counts: [Math.max(0, first - 1), ...rest] };
    return defect === "one-event-too-many" ? { ...id, counts: [first + 1, ...rest] } : id;
  }

  /** Checks that every client has all that it asked for. */
  finish(): void {
    const { counts, records } = this;
    const waiting = this.#clients.filter(({ whole, gone }) => !whole && !gone);
    if (waiting.length > 0) {
      const opened = waiting.filter((client) => client.opened).length;
      this.cluster.violation(
        `After healing ${waiting.length} streams have not ended, ${opened} of them opened.`,
      );
    }
    for (const { gateway, streams, engine, completions } of this.#servers.values()) {
      counts.takeovers += gateway.counts.takeovers;
      counts.inherited += gateway.counts.inherited;
      counts.dropped += sum(Object.values(gateway.counts.dropped));
      counts.abandoned += streams.counts.abandoned;
      counts.resumed += streams.counts.resumed;
      counts.expected += engine.expected;
      const { unjournalled } = completions.journalCounts;
      if (unjournalled > 0) this.cluster.violation(`${unjournalled} streams went on without the journal.`);
    }
    counts.records = records.counts.kept;
    counts.removedRecords = records.counts.removed;
    counts.refusedRecords = records.counts.refused;
    counts.forgottenRecords = records.counts.forgotten;
    counts.lateRecords = records.counts.late;
    counts.unanswered = records.counts.unanswered;
  }

  #noted({ msg, code, reason }: Complaint): void {
    if (code !== undefined) this.cluster.violation(`A server says: ${msg} ${code}: ${reason}`);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0);
}
