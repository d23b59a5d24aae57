/** Ranks on the nodes of a cluster, as one runtime. */

import { asClawError, at, ClawError } from "../../base/mod.ts";
import { toHex } from "../../crypto/mod.ts";
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
import { ASKED_MAX } from "./limits.ts";
import { type Asker, askNode } from "./request.ts";

/** A node that is to run a rank. */
export interface RankNode {
  readonly name: string;
  readonly life: string;
  readonly address: NodeAddress;
}

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
}

/** A node did not start its rank. */
export class NodeFailure extends ClawError {
  readonly node: RankNode;

  constructor(node: RankNode, error: ClawError) {
    super("E_LINK", `The node ${node.name} starts no rank: ${error.message}`, { cause: error });
    this.node = node;
  }
}

/** Has nodes start the ranks of a placement, each from its own file. NodeFailure, E_PLACEMENT, E_LINK, and what loading refuses. */
export async function openOnNodes(model: OpenedFile, options: RemoteOptions): Promise<PlacedRuntime> {
  const plan = planRanks(model.description, options);
  const { asker, epoch, host } = options;
  const settings = settingsOf(asker.name, { secret: toHex(asker.secret), epoch });
  const place = { host: asker.name, addresses: [{ driver: "tcp", host, port: 0 }] } as const;
  const meeting = new Meeting(place, settings);
  const end = async (lost: boolean): Promise<void> => {
    await meeting.close();
    // Those of a lost runtime were told nothing: one that is stopped, or cut off, would never end.
    if (lost) await endRanks(options);
  };
  try {
    const starting = startAll(options, meeting);
    const joining = joinRanks(meeting, plan.programs.length);
    joining.catch(() => {}); // where a node says sooner why
    await starting;
    const ranks = await joining;
    const reports = await startRanks(model, ranks, options);
    return plan.join({ links: ranks.map(({ link }) => link), reports, end });
  } catch (error) {
    await end(true);
    throw error;
  }
}

async function startAll({ nodes, asker, epoch, root }: RemoteOptions, meeting: Meeting): Promise<void> {
  const engine = at(meeting.place.addresses, 0);
  await inTurns([...nodes.entries()], async ([rank, node]) => {
    try {
      await askNode(node.address, asker, { kind: "start", epoch, rank, root, engine });
    } catch (error) {
      throw new NodeFailure(node, asClawError(error));
    }
  });
}

/** As far as nodes can be reached: those that cannot fence by themselves. */
async function endRanks({ nodes, asker, epoch }: RemoteOptions): Promise<void> {
  const different = new Map(nodes.map((node) => [node.name, node]));
  await inTurns([...different.values()], ({ address }) =>
    askNode(address, asker, { kind: "end", epoch }).catch(() => {}),
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
