/** Ours against the peer's on the same task. */

import { Peer, type PeerMode, type PeerTask } from "./peer.ts";
import type { PeerOutcome } from "./report.ts";
import { interleave, medians, type Round, type Times } from "./rounds.ts";

export interface Versus<Name extends string> {
  readonly ours: Times<Name>;
  readonly peer: PeerOutcome | undefined;
}

/**
 * Runs our rounds and, where `task` is given, the peer's between them. `tokens` are those of a round. Errors: E_PEER.
 */
export async function versus<Name extends string>(
  round: Round<Name>,
  task: PeerTask | undefined,
  { rounds, tokens }: { readonly rounds: number; readonly tokens: number },
): Promise<Versus<Name>> {
  if (task === undefined) return { ours: (await interleave(rounds, round, undefined)).ours, peer: undefined };
  const peer = await Peer.start(task);
  try {
    const times = await interleave(rounds, round, () => peer.round());
    return { ours: times.ours, peer: peerOutcome(peer, times.peer ?? { off: [], on: [] }, tokens) };
  } finally {
    peer.close();
  }
}

function peerOutcome({ info }: Peer, times: Times<PeerMode>, tokens: number): PeerOutcome {
  const { off, on } = medians(times);
  return {
    ...info,
    flashAttention: on < off ? "on" : "off",
    tokensPerSecond: { off: tokens / off, on: tokens / on },
    roundSeconds: times,
  };
}
