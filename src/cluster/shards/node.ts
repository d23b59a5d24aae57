/** A rank as a process of its own: joins the engine's process and its peers, loads its slice, and does what it is told. */

import { asClawError, at, ClawError } from "../../base/mod.ts";
import { openDevice } from "../../engine/mod.ts";
import type { Device, RankLink } from "../../kernels/mod.ts";
import {
  compile,
  type OpenedFile,
  openModelFile,
  openPackedCache,
  type RankProgram,
  SealedTensors,
} from "../../model/mod.ts";
import type { LinkSettings } from "../link/mod.ts";
import { type FetchProgress, type OpenSource, SliceFetch } from "../slices/mod.ts";
import { beat } from "./beats.ts";
import {
  type NodeReport,
  type NodeTask,
  parseTerms,
  type RankTerms,
  rankName,
  receiveTask,
  sendHello,
  settingsOf,
} from "./joining.ts";
import { connectAt, connectTo, Meeting } from "./meeting.ts";
import { NativeRankLink } from "./native-rank-link.ts";
import { prepareRank, type RankSizes, serveRank } from "./rank.ts";
import { sendFailure, sendReport } from "./step-message.ts";

/** What a rank's process has around it. */
export interface RankSurroundings {
  /** Told what an operator should know, in a sentence; the work goes on. */
  readonly onNote: (text: string) => void;
  /** Told how far a slice is that is being fetched. */
  readonly onFetch: (progress: FetchProgress) => void;
  /** How those are asked who have the model, where this host lacks it. */
  readonly openSlices: (asker: { readonly name: string; readonly secret: Uint8Array }) => OpenSource;
}

/** Runs a rank by its terms, as the text of a RankTerms; resolves when it is told to end. */
export async function runNode(text: string, surroundings: RankSurroundings): Promise<void> {
  const terms = parseTerms(text);
  const settings = settingsOf(rankName(terms.rank), terms);
  const meeting = new Meeting(terms.place, settings);
  let engine: RankLink | undefined;
  try {
    engine = new NativeRankLink(await connectAt(terms.engine, settings, "the engine's process"));
    await sendHello(engine, { rank: terms.rank, place: meeting.place });
    const joining = { terms, settings, meeting, engine, surroundings };
    const node = await startNode(await receiveTask(engine), joining);
    const quiet = beat(engine);
    await serveRank(node.ready, { link: engine, limits: node.limits, peers: node.peers }).finally(quiet);
    for (const link of node.peers) link.close();
    await node.kept;
    node.device.close();
  } finally {
    engine?.close();
    await meeting.close();
  }
}

interface Joining {
  readonly terms: RankTerms;
  readonly settings: LinkSettings;
  readonly meeting: Meeting;
  readonly engine: RankLink;
  readonly surroundings: RankSurroundings;
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
  /** Settles when packed weights are kept for the next start. */
  readonly kept: Promise<void> | undefined;
}

async function loadNode(task: NodeTask, joining: Joining): Promise<StartedNode> {
  const { terms } = joining;
  if (terms.fetch === undefined) return loadFrom({ path: terms.model ?? task.model }, task, joining);
  const { openSlices, onNote, onFetch } = joining.surroundings;
  const { node: name, secret } = joining.settings;
  const open = openSlices({ name, secret });
  const fetch = await SliceFetch.begin({ ...terms.fetch, open, onNote, onProgress: onFetch });
  try {
    return await loadFrom({ path: fetch.path, fetch }, task, joining);
  } finally {
    await fetch.close();
  }
}

async function loadFrom(
  { path, fetch }: { readonly path: string; readonly fetch?: SliceFetch },
  task: NodeTask,
  joining: Joining,
): Promise<StartedNode> {
  const { format, placement, sizes, places } = task;
  const { threads = task.threads } = joining.terms;
  let model: OpenedFile = openModelFile(path);
  try {
    const rank = at(compile(model.description, { format, placement }), joining.terms.rank);
    // Ranks wait for each other no longer than joining takes, but for their slices as long as it takes.
    const peers = await meetPeers(rank, places, joining);
    if (fetch !== undefined) {
      const complete = await fetch.slice(rank);
      model.close();
      model = openModelFile(complete);
    }
    const { firstCore } = joining.terms;
    // Unless they were told which, ranks of one machine would all be pinned to its first cores.
    const pinThreads = firstCore === undefined ? "never" : "always";
    const { device: kind, lockMemory } = task;
    const { device, warning } = await openDevice({
      device: kind,
      threads,
      lockMemory,
      pinThreads,
      firstCore,
    });
    const packed = await packedFor({ rank, device, model }, task, joining);
    const tensors = task.seal && (await SealedTensors.open(model, task.seal, device.files));
    const ready = await prepareRank(device, model, { rank, sizes, links: peers, packed, tensors });
    tensors?.close();
    const { name, threads: own } = device;
    const weights = packed?.complete === true ? "cache" : "model";
    const report: NodeReport = {
      ...{ device: name, threads: own, memory: device.memory(), pageBytes: device.kvPageBytes },
      ...{ weights, warning },
    };
    await sendReport(joining.engine, report);
    const kept = packed?.save();
    return { device, ready, peers, limits: sizes.limits, kept };
  } finally {
    model.close();
  }
}

/** A rank's own entry in the cache of packed weights. */
function packedFor(
  {
    rank,
    device,
    model,
  }: { readonly rank: RankProgram; readonly device: Device; readonly model: OpenedFile },
  { format }: NodeTask,
  { terms, surroundings: { onNote } }: Joining,
): ReturnType<typeof openPackedCache> {
  const task = { format, degree: 1, slice: rank.matrices, onNote };
  return openPackedCache(device, model, { ...task, settings: terms.packedCache });
}

/** Links to all peers: this rank connects to those before it, and those after it connect to this one. */
async function meetPeers(
  { rank, peers }: RankProgram,
  places: NodeTask["places"],
  { terms, settings, meeting }: Joining,
): Promise<RankLink[]> {
  const links = new Map<string, RankLink>();
  for (const peer of peers.filter((other) => other < rank)) {
    const name = rankName(peer);
    const link = await connectTo(at(places, peer), settings, { host: terms.place.host, name });
    links.set(name, new NativeRankLink(link));
  }
  const missing = new Set(peers.filter((other) => other > rank).map(rankName));
  while (missing.size > 0) {
    const link = await meeting.next("join its peers");
    if (!missing.delete(link.peer)) {
      throw new ClawError("E_LINK", `A process joined as ${link.peer}, which nobody waits for.`);
    }
    links.set(link.peer, new NativeRankLink(link));
  }
  return peers.map((peer) => links.get(rankName(peer)) as RankLink);
}
