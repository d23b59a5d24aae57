/** A placement in one process: every rank on a device of its own, linked through memory. */

import { at } from "../../base/mod.ts";
import type { Device, Executable, RankLink } from "../../kernels/mod.ts";
import type { OpenedFile, RankProgram } from "../../model/mod.ts";
import { memoryLink } from "./memory-link.ts";
import { nativePair } from "./native-rank-link.ts";
import { type PlacedRuntime, type PlacedRuntimeOptions, planRanks } from "./placed-runtime.ts";
import { prepareRank, serveRank } from "./rank.ts";

export interface LocalOptions extends PlacedRuntimeOptions {
  /** A rank's device; it is closed with the runtime. */
  readonly openDevice: (rank: number) => Device;
  /** What a rank uses in place of its end of a link to a peer; undefined: that end. */
  readonly wrapLink?: ((link: RankLink, rank: number) => RankLink) | undefined;
}

export interface LocalRuntime extends PlacedRuntime {
  /** The ranks' own, by rank. */
  readonly executables: readonly Executable[];
}

/** Starts every rank. E_PLACEMENT, and what loading refuses. */
export async function startLocal(model: OpenedFile, options: LocalOptions): Promise<LocalRuntime> {
  const { programs, sizes, join } = planRanks(model.description, options);
  const devices: Device[] = [];
  const links: RankLink[] = [];
  const served: Promise<void>[] = [];
  const executables: Executable[] = [];
  const end = async (): Promise<void> => {
    for (const link of links) link.close();
    await Promise.all(served);
    for (const device of devices) device.close();
  };
  try {
    for (const { rank } of programs) devices.push(options.openDevice(rank));
    const linksOf = linkRanks(programs, devices, options.wrapLink ?? ((link) => link));
    for (const rank of programs) {
      const peers = linksOf(rank.rank);
      const ready = await prepareRank(at(devices, rank.rank), model, { rank, sizes, links: peers });
      executables.push(ready.executable);
      const [link, other] = memoryLink();
      links.push(link);
      const serving = serveRank(ready, { link: other, limits: sizes.limits, peers });
      served.push(closing(serving, [other, ...peers]));
    }
  } catch (error) {
    await end();
    throw error;
  }
  const reports = devices.map((device) => {
    const { name, threads, kvPageBytes: pageBytes } = device;
    const sizes = { memory: device.memory(), pageBytes };
    return { device: name, threads, ...sizes, weights: "model", warning: undefined } as const;
  });
  return { ...join({ links, reports, end }), executables };
}

/** When a rank ends, however it does, nobody waits for it any more; the engine's side hears why through its link. */
async function closing(serving: Promise<void>, links: readonly RankLink[]): Promise<void> {
  await serving.catch(() => undefined);
  for (const link of links) link.close();
}

/**
 * Makes a link between every two ranks that exchange rows; the links of each rank, in the order of its peers. Native where a native
 * device is at one end.
 */
function linkRanks(
  programs: readonly RankProgram[],
  devices: readonly Device[],
  wrap: (link: RankLink, rank: number) => RankLink,
): (rank: number) => RankLink[] {
  const ends = new Map<string, RankLink>();
  for (const { rank, peers } of programs) {
    for (const peer of peers) {
      if (peer < rank) continue;
      const native = [rank, peer].some((end) => at(devices, end).nativeLinks);
      const [own, other] = native ? nativePair() : memoryLink();
      ends.set(`${rank} ${peer}`, wrap(own, rank));
      ends.set(`${peer} ${rank}`, wrap(other, peer));
    }
  }
  return (rank) => at(programs, rank).peers.map((peer) => ends.get(`${rank} ${peer}`) as RankLink);
}
