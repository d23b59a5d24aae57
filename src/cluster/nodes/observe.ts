/** I/O: a timer and a clock. Looks at a cluster without joining it. */

import { setTimeout as sleep } from "node:timers/promises";
import { Agent, type Control, TIMING_DEFAULT } from "../membership/mod.ts";
import { OBSERVE_MS } from "./limits.ts";

const LOOK_MS = 50;

/** Resolves when it is known who of those whose records are there lives. The caller stops it. E_CONTROL. */
export async function observeCluster({ store, secret }: Control): Promise<Agent> {
  const clock = (): number => performance.now();
  const none = { self: undefined, plan: () => {} };
  const agent = await Agent.start({ store, secret, clock, timing: TIMING_DEFAULT, ...none });
  const end = clock() + OBSERVE_MS;
  // What is there is told soon; whether it changes shows within some heartbeats.
  await sleep(TIMING_DEFAULT.heartbeatMs);
  const undecided = (): boolean => {
    const { peers, state } = agent.status();
    const planless = state === undefined && peers.some(({ record }) => record.role === "server");
    return peers.length === 0 || planless || peers.some(({ alive }) => !alive);
  };
  while (clock() < end && undecided()) await sleep(LOOK_MS);
  return agent;
}
