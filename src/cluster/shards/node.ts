/** A rank as a process of its own: joins the engine's process and its peers, loads its slice, and does what it is told. */

import { asClawError, at } from "../../base/mod.ts";
import { openDevice } from "../../engine/mod.ts";
import type { Device, RankLink } from "../../kernels/mod.ts";
import { compile, type OpenedFile, openModelFile, type RankProgram } from "../../model/mod.ts";
import {
  engineSocket,
  type NodeReport,
  type NodeTask,
  rankSocket,
  receiveHello,
  receiveTask,
  sendHello,
  withinTime,
} from "./joining.ts";
import { prepareRank, type RankSizes, serveRank } from "./rank.ts";
import { connectSocket, SocketListener } from "./socket-link.ts";
import { sendFailure, sendReport } from "./step-message.ts";

/** Runs rank `rank` of the placement that the engine's process in `folder` has; resolves when it is told to end. */
export async function runNode(folder: string, rank: number): Promise<void> {
  const listener = await SocketListener.open(rankSocket(folder, rank));
  const engine = await connectSocket(engineSocket(folder), "the engine's process");
  try {
    await sendHello(engine, rank);
    const node = await startNode(await receiveTask(engine), { folder, rank, listener, engine });
    await serveRank(node.ready, { link: engine, limits: node.limits });
    for (const link of node.peers) link.close();
    node.device.close();
  } finally {
    listener.close();
    engine.close();
  }
}

interface Joining {
  readonly folder: string;
  readonly rank: number;
  readonly listener: SocketListener;
  readonly engine: RankLink;
}

async function startNode(task: NodeTask, joining: Joining): Promise<StartedNode> {
  try {
    return await loadNode(task, joining);
  } catch (error) {
    await sendFailure(joining.engine, asClawError(error));
    throw error;
  }
}

interface StartedNode {
  readonly device: Device;
  readonly ready: Awaited<ReturnType<typeof prepareRank>>;
  readonly peers: readonly RankLink[];
  readonly limits: RankSizes["limits"];
}

async function loadNode(task: NodeTask, joining: Joining): Promise<StartedNode> {
  const { format, placement, sizes, threads } = task;
  const model: OpenedFile = openModelFile(task.model);
  try {
    const rank = at(compile(model.description, { format, placement }), joining.rank);
    const peers = await meetPeers(rank, joining);
    // Ranks of one machine would all be pinned to its first cores.
    const { device } = await openDevice({ device: task.device, threads, pinThreads: "never" });
    const ready = await prepareRank(device, model, { rank, sizes, links: peers });
    const report: NodeReport = { device: device.name, memory: device.memory() };
    await sendReport(joining.engine, report);
    return { device, ready, peers, limits: sizes.limits };
  } finally {
    model.close();
  }
}

/** Links to all peers: this rank connects to those before it, and those after it connect to this one. */
async function meetPeers({ rank, peers }: RankProgram, { folder, listener }: Joining): Promise<RankLink[]> {
  const links = new Map<number, RankLink>();
  for (const peer of peers.filter((other) => other < rank)) {
    const link = await connectSocket(rankSocket(folder, peer), `rank ${peer}`);
    await sendHello(link, rank);
    links.set(peer, link);
  }
  const missing = new Set(peers.filter((other) => other > rank));
  while (missing.size > 0) {
    const link = await withinTime(listener.accept(), "join its peers");
    const peer = await receiveHello(link, missing);
    missing.delete(peer);
    links.set(peer, link);
  }
  return peers.map((peer) => links.get(peer) as RankLink);
}
