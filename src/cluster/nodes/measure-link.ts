/** Latency and bandwidth of a link between two nodes, by messages and their echoes. */

import { at } from "../../base/mod.ts";
import type { Link, LinkAddress, RoundPlan } from "../../kernels/mod.ts";
import { BANDWIDTH_BYTES, BANDWIDTH_ROUNDS, LATENCY_BYTES, LATENCY_ROUNDS, MEASURE_MS } from "./limits.ts";
import { type Asker, askOver, withLink } from "./request.ts";

/** Within a step ranks spin for each other, too. */
const SPIN_MICROS = 2000;

const plan = (bytes: number, rounds: number): Omit<RoundPlan, "echo"> => {
  return { bytes, rounds, spinMicros: SPIN_MICROS, limitMs: MEASURE_MS };
};
const latencyPlan = plan(LATENCY_BYTES, LATENCY_ROUNDS);
const bandwidthPlan = plan(BANDWIDTH_BYTES, BANDWIDTH_ROUNDS);

/** One way. */
export interface MeasuredLink {
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

/** Measures the way to a node. Errors: those of `askNode`. */
export function measureLink(
  address: Pick<LinkAddress, "host" | "port">,
  asker: Asker,
): Promise<MeasuredLink> {
  return withLink(address, asker, async (link) => {
    await askOver(link, { kind: "time" });
    const small = typical((await link.time({ ...latencyPlan, echo: false })).oneWay) * 1e-6;
    const large = typical((await link.time({ ...bandwidthPlan, echo: false })).oneWay) * 1e-6;
    // What a large message takes beyond a small one is its bytes' time.
    return { latencySeconds: small, bytesPerSecond: BANDWIDTH_BYTES / Math.max(large - small, large / 2) };
  });
}

/** The other side, once it has answered that it measures. */
export async function echoMeasurement(link: Link): Promise<void> {
  await link.time({ ...latencyPlan, echo: true });
  await link.time({ ...bandwidthPlan, echo: true });
}

/** The lower quartile: what a pause of either machine did to others is not the link's. */
function typical(micros: Float64Array): number {
  return at(micros.toSorted(), Math.floor(micros.length / 4));
}
