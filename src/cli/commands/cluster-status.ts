/** `claw cluster status`: who is there, who holds the lease, and the plan in force. */

import { type MemberStatus, observeCluster, type PeerStatus } from "../../cluster/mod.ts";
import { type ControlOptions, controlOptions, switchOption, twoColumns } from "../../config/mod.ts";
import { clusterOf } from "../cluster-access.ts";
import { type Command, defineCommand } from "../command.ts";
import { formatBytes } from "../numbers.ts";
import { stageRows } from "../plan-rows.ts";
import { print, printJson } from "../terminal.ts";

interface StatusSettings extends ControlOptions {
  readonly json: boolean;
}

export const clusterStatus: Command = defineCommand<StatusSettings>({
  name: "cluster status",
  summary: "Shows the nodes and servers of a cluster, who plans, and the plan in force.",
  options: { ...controlOptions, json: switchOption("json", "print an object") },
  run: async (settings) => {
    const control = await clusterOf(settings, "cluster status");
    try {
      const agent = await observeCluster(control);
      const status = statusOf(agent.status());
      agent.stop();
      await (settings.json ? printJson(status) : print(described(status)));
    } finally {
      await control.store.close();
    }
  },
});

type Status = ReturnType<typeof statusOf>;

function statusOf({ state, peers, dropped }: MemberStatus) {
  const holder = state?.holder;
  const alive = peers.some(({ node, life, alive }) => alive && node === holder?.node && life === holder.life);
  return {
    holder: holder === undefined ? null : { ...holder, alive },
    epoch: state?.epoch ?? null,
    plan: state?.plan ?? null,
    nodes: peers.map(nodeOf),
    dropped,
  };
}

function nodeOf({ node, life, alive, suspicion, record }: PeerStatus) {
  const { role, address, draining, edition, description, models, fetches, work, slices } = record;
  const { refused, links, dialect } = record;
  const { memoryBytes } = description;
  // Of a silence that lasts, JSON could not say how long.
  const finite = Math.min(suspicion, Number.MAX_SAFE_INTEGER);
  return {
    ...{ name: node, role, life, alive, suspicion: finite, draining, address, edition, memoryBytes },
    ...{ models, fetches, work, slices, refused, links, dialect },
  };
}

function described({ holder, epoch, plan, nodes, dropped }: Status): string {
  const reasons = Object.entries(dropped).map(([reason, count]) => `${count} that ${reason}`);
  const rows: [string, string][] = [
    ["Holder", holder === null ? "none: no server is there" : holderText(holder, epoch)],
    ["Plan", planText(plan)],
    ...(plan?.plan == null ? [] : stageRows(plan.plan)),
    ...nodes.map((node): [string, string] => [node.name, nodeText(node)]),
    ["Dropped", reasons.length === 0 ? "no record" : `records: ${reasons.join(", ")}`],
  ];
  return `${twoColumns(rows)}\n`;
}

function holderText({ node, alive }: NonNullable<Status["holder"]>, epoch: number | null): string {
  return `${node}, epoch ${epoch}${alive ? "" : "; it does not answer"}`;
}

function planText(plan: Status["plan"]): string {
  if (plan === null) return "none was made";
  if (plan.plan === null) return `none fits: ${plan.problem}`;
  return `version ${plan.version}, ${plan.plan.model} as ${plan.plan.format}`;
}

function sliceTexts({ fetched, handedOut, fetching }: Status["nodes"][number]["slices"]): string[] {
  return [
    ...(fetching === null ? [] : [`fetches ${formatBytes(fetching.done)} of ${formatBytes(fetching.total)}`]),
    ...(fetched === 0 ? [] : [`fetched ${formatBytes(fetched)}`]),
    ...(handedOut === 0 ? [] : [`handed out ${formatBytes(handedOut)}`]),
  ];
}

function nodeText(node: Status["nodes"][number]): string {
  const { role, alive, draining, address, memoryBytes, models, work, slices, refused } = node;
  const refusals = Object.entries(refused).map(([code, count]) => `${count} with ${code}`);
  const parts = [
    `${role}, ${alive ? "alive" : "silent"}${draining ? ", draining" : ""}`,
    ...(address === null ? [] : [`${address.host}:${address.port}`]),
    ...(role === "node" ? [`${formatBytes(memoryBytes)} for weights and KV cache`] : []),
    ...(models.length === 0 ? [] : [models.map(({ name }) => name).join(", ")]),
    ...(work.ranks.length === 0 ? [] : [`runs rank ${work.ranks.join(", ")}`]),
    ...sliceTexts(slices),
    ...(refusals.length === 0 ? [] : [`refused ${refusals.join(", ")}`]),
  ];
  return parts.join("; ");
}
