/** Ranks on the nodes of a cluster, as one runtime. */

import { asClawError, at, ClawError } from "../../base/mod.ts";
import { toHex } from "../../crypto/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import type { OpenedFile } from "../../model/mod.ts";
import type { NodeAddress } from "../membership/mod.ts";
import {
  joinRanks,
  Meeting,
  type PlacedRuntime,
  planRanks,
  type RanksOptions,
  settingsOf,
  startRanks,
} from "../shards/mod.ts";
import { ASKED_MAX, END_PATIENCE_MS } from "./limits.ts";
import { type Asker, askNode } from "./request.ts";
import type { RankNode } from "./work.ts";

export interface RemoteOptions extends RanksOptions {
  /** By rank. */
  readonly nodes: readonly RankNode[];
  readonly asker: Asker;
  /** Of the work. */
  readonly epoch: number;
  /** Of the model's seal. */
  readonly root: string;
  /** The address in numbers at which nodes reach this process. */
  readonly host: string;
  /** What the ranks are linked by, with this process and each other; undefined: TCP. */
  readonly driver?: "tcp" | "ucx" | undefined;
  /** Where nodes that lack the model get their slices' hashes, and the bytes if nobody else has them; undefined or null: nowhere. */
  readonly slices?: NodeAddress | null | undefined;
  /** Gives it up; its reason is what it fails with. */
  readonly signal?: AbortSignal | undefined;
}

/** A node cannot be reached, or its rank says that it cannot do what it was told. */
export class NodeFailure extends ClawError {
  readonly node: RankNode;

  constructor(node: RankNode, error: ClawError) {
    super("E_LINK", `The node ${node.name} runs no rank: ${error.message}`, { cause: error });
    this.node = node;
  }
}

/**
 * Has nodes start the ranks of a placement, each from its own file. Where that fails, what was started is ended. NodeFailure,
 * E_PLACEMENT, E_LINK, and what loading refuses.
 */
export async function openOnNodes(model: OpenedFile, options: RemoteOptions): Promise<PlacedRuntime> {
  const { asker, epoch, host, driver = "tcp", nodes } = options;
  const settings = settingsOf(asker.name, { secret: toHex(asker.secret), epoch });
  const place = { host: asker.name, addresses: [{ driver, host, port: 0 }] } as const;
  const meeting = new Meeting(place, settings);
  const opening = new Opening(model, options, meeting);
  const running = opening.run();
  try {
    return await Promise.race([running, aborted(options.signal)]);
  } catch (error) {
    const failed = opening.failure?.node.name;
    running.then((late) => late.close()).catch(() => {});
    await meeting.close();
    opening.letGo();
    await endRanks(options, { nodes: nodes.filter(({ name }) => name !== failed), patienceMs: 0 });
    throw opening.failure ?? error;
  }
}

class Opening {
  /** What one of the nodes said, before the others failed with it. */
  failure: NodeFailure | undefined;
  readonly #model: OpenedFile;
  readonly #options: RemoteOptions;
  readonly #meeting: Meeting;
  #links: readonly RankLink[] = [];

  constructor(model: OpenedFile, options: RemoteOptions, meeting: Meeting) {
    this.#model = model;
    this.#options = options;
    this.#meeting = meeting;
  }

  async run(): Promise<PlacedRuntime> {
    const [options, meeting] = [this.#options, this.#meeting];
    const plan = planRanks(this.#model.description, options);
    const joining = joinRanks(meeting, plan.programs.length);
    joining.catch(() => {}); // where a node says sooner why
    await this.#startAll();
    const ranks = await joining;
    this.#links = ranks.map(({ link }) => link);
    const onRankFailed = (rank: number, error: ClawError): void => {
      // Where a link broke it need not have been this rank's fault.
      if (error.code !== "E_LINK") this.failure ??= new NodeFailure(at(options.nodes, rank), error);
    };
    const reports = await startRanks(this.#model, ranks, { ...options, onRankFailed });
    const end = async (lost: boolean): Promise<void> => {
      await meeting.close();
      // Those of a lost runtime were told nothing: one that is stopped, or cut off, would never end.
      await endRanks(options, { nodes: options.nodes, patienceMs: lost ? 0 : END_PATIENCE_MS });
    };
    return plan.join({ links: this.#links, reports, end });
  }

  /** Of ranks that have joined. */
  letGo(): void {
    for (const link of this.#links) link.close();
  }

  async #startAll(): Promise<void> {
    const { nodes, asker, epoch, root, slices = null } = this.#options;
    const engine = at(this.#meeting.place.addresses, 0);
    await inTurns([...nodes.entries()], async ([rank, node]) => {
      try {
        await askNode(node.address, asker, { kind: "start", epoch, rank, root, engine, slices });
      } catch (error) {
        this.failure ??= new NodeFailure(node, asClawError(error));
        throw this.failure;
      }
    });
  }
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

interface Ending {
  readonly nodes: readonly RankNode[];
  readonly patienceMs: number;
}

/** As far as nodes can be reached: those that cannot fence by themselves. */
async function endRanks({ asker, epoch }: RemoteOptions, { nodes, patienceMs }: Ending): Promise<void> {
  const different = new Map(nodes.map((node) => [node.name, node]));
  await inTurns([...different.values()], ({ address }) =>
    askNode(address, asker, { kind: "end", epoch, patienceMs }).catch(() => {}),
  );
}

/** Does something with each, ASKED_MAX at a time. The first error ends it, when what is under way has ended. */
async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  let failed = false;
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined && !failed; next = left.shift()) {
      await work(next).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: ASKED_MAX }, worker));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
