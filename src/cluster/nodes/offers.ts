/** What the living nodes offer, as the planner takes it: who may take part in a model, and over which links. */

import type { Dialect, NodeRecord } from "../membership/mod.ts";
import type { ClusterDescription, LinkDescription } from "../plan/mod.ts";

export interface Wanted {
  /** The root of the model. */
  readonly root: string;
  readonly dialect: Dialect;
}

export interface Offers {
  readonly cluster: ClusterDescription;
  /** Nodes that cannot take part, and why. */
  readonly excluded: Readonly<Record<string, string>>;
}

/** `wanted` undefined: any model, of which nothing is said. */
export function offersOf(records: readonly NodeRecord[], wanted?: Wanted): Offers {
  const excluded: Record<string, string> = {};
  const taken = records.filter((record) => {
    if (record.role !== "node") return false;
    const why = reasonAgainst(record, wanted);
    if (why !== undefined) excluded[record.description.name] = why;
    return why === undefined;
  });
  const nodes = taken.map(({ description }) => description);
  return { cluster: { nodes, links: linksOf(taken) }, excluded };
}

function reasonAgainst(record: NodeRecord, wanted: Wanted | undefined): string | undefined {
  if (record.draining) return "it is drained";
  if (record.address === null) return "it takes no links";
  if (wanted === undefined) return undefined;
  const { protocol, arithmetic } = record.dialect;
  if (protocol !== wanted.dialect.protocol || arithmetic !== wanted.dialect.arithmetic) {
    const own = `${wanted.dialect.protocol} and ${wanted.dialect.arithmetic}`;
    return `it speaks protocol ${protocol} and arithmetic ${arithmetic}, the server ${own}`;
  }
  const has = record.models.some(({ root }) => root === wanted.root);
  if (!has && !record.fetches) return "it does not have the model, and fetches none";
  return undefined;
}

/** Of each pair that was measured from both sides, the slower way. */
function linksOf(records: readonly NodeRecord[]): LinkDescription[] {
  const names = new Set(records.map(({ description }) => description.name));
  const links = new Map<string, LinkDescription>();
  for (const link of records.flatMap((record) => record.links)) {
    const [a, b] = link.between.toSorted() as [string, string];
    if (a === b || !names.has(a) || !names.has(b)) continue;
    const known = links.get(`${a} ${b}`);
    links.set(`${a} ${b}`, {
      between: [a, b],
      latencySeconds: Math.max(link.latencySeconds, known?.latencySeconds ?? 0),
      bytesPerSecond: Math.min(link.bytesPerSecond, known?.bytesPerSecond ?? Number.POSITIVE_INFINITY),
    });
  }
  return [...links.values()];
}
