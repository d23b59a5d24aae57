/** I/O: a timer. `claw cluster drain`: has a node take no more ranks, and leave once the plan does without it. */

import { setTimeout as sleep } from "node:timers/promises";
import { ClawError } from "../../base/mod.ts";
import { type Agent, askNode, observeCluster, type PeerStatus } from "../../cluster/mod.ts";
import { type ControlOptions, controlOptions, numberOption } from "../../config/mod.ts";
import { clusterOf } from "../cluster-access.ts";
import { type Command, defineCommand } from "../command.ts";
import { print } from "../terminal.ts";

interface DrainSettings extends ControlOptions {
  readonly timeoutSeconds: number;
}

const TIMEOUT_MAX = 86_400;
const TIMEOUT_DEFAULT = 300;
const LOOK_MS = 100;

export const clusterDrain: Command = defineCommand<DrainSettings>({
  name: "cluster drain",
  summary: "Has a node take no new ranks, and leave the cluster once the plan does without it.",
  operands: "NODE",
  operandCount: [1, 1],
  options: {
    ...controlOptions,
    timeoutSeconds: numberOption({
      flag: "timeout-seconds",
      unit: "seconds",
      meaning: "how long to wait until it has left",
      range: [0, TIMEOUT_MAX],
      default: TIMEOUT_DEFAULT,
    }),
  },
  run: async (settings, [name = ""]) => {
    const control = await clusterOf(settings, "cluster drain");
    try {
      const agent = await observeCluster(control);
      const { life, record } = livingNode(agent, name);
      const { address } = record;
      if (address === null) throw new ClawError("E_NODE", `${name} takes no links, so it cannot be asked.`);
      await askNode(address, { name: "claw cluster drain", secret: control.secret }, { kind: "drain" });
      await gone(agent, { name, life, timeoutMs: settings.timeoutSeconds * 1000 });
      agent.stop();
      await print(`${name} has left.\n`);
    } finally {
      await control.store.close();
    }
  },
});

function livingNode(agent: Agent, name: string): PeerStatus {
  const living = agent.status().peers.filter(({ alive, record }) => alive && record.role === "node");
  const found = living.find(({ node }) => node === name);
  if (found !== undefined) return found;
  const names = living.map(({ node }) => node).join(", ");
  throw new ClawError("E_NODE", `There is no living node ${name}; there are ${names || "none"}.`);
}

interface Leaving {
  readonly name: string;
  readonly life: string;
  readonly timeoutMs: number;
}

/** Resolves when the node's record is gone. E_DEADLINE, with what holds it up. */
async function gone(agent: Agent, { name, life, timeoutMs }: Leaving): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const { peers, state } = agent.status();
    const peer = peers.find((other) => other.node === name && other.life === life);
    if (peer === undefined) return;
    if (performance.now() > end) {
      const { ranks } = peer.record.work;
      const runs = ranks.length === 0 ? "" : ` It still runs rank ${ranks.join(", ")}.`;
      const problem = state?.plan?.problem == null ? "" : ` Without it: ${state.plan.problem}`;
      throw new ClawError("E_DEADLINE", `${name} is being drained, but has not left yet.${runs}${problem}`);
    }
    await sleep(LOOK_MS);
  }
}
