/** What the page says of a receipt: what was verified, what was not, and what the entry tells. */

import type { ClawError } from "../../base/mod.ts";
import { type Entry, entryTime, type VerifiedReceipt } from "../../records/mod.ts";

export interface Verdict {
  readonly good: boolean;
  readonly title: string;
  readonly statements: readonly string[];
  readonly facts: readonly (readonly [name: string, value: string])[];
}

/** `witnesses`: how many were asked for, all of which have cosigned. */
export function verdictOf(verified: VerifiedReceipt, witnesses: number): Verdict {
  const { index, leaf, entry, log } = verified;
  const entries = `${log.size} ${log.size === 1 ? "entry" : "entries"}`;
  return {
    good: true,
    title: `Verified: entry ${index} is in the log ${log.origin}`,
    statements: [
      `The log's key signed a checkpoint over ${entries}, and this entry, unaltered, is one of them.`,
      openedTokens(verified),
      witnesses > 0
        ? `All ${witnesses} witnesses have cosigned the checkpoint.`
        : "No witness was asked for: whether the log shows everybody the same entries was not looked at.",
      "A receipt shows what the log's owner recorded; only a replay (claw audit replay) shows that the model computes this.",
    ],
    facts: [
      ["Kind of entry", entry.kind],
      ...factsOf(entry),
      ["Stream", entry.stream],
      ["Leaf hash", leaf],
      ["Root of the log", log.root],
    ],
  };
}

export function refusal({ code, message, remedy }: ClawError): Verdict {
  return { good: false, title: `Refused: ${code}`, statements: [message, remedy], facts: [] };
}

function openedTokens({ entry, opened, outputOpened }: VerifiedReceipt): string {
  if (!opened || entry.kind === "progress") {
    return "No tokens came with the receipt: of prompt and answer the entry has only hashes.";
  }
  const answer =
    outputOpened && entry.kind === "close"
      ? `${entry.tokens} of the answer`
      : "none of the answer, which did not come with it";
  return `The receipt's tokens are those that the entry commits to: ${entry.prompt.tokens} of the prompt, ${answer}.`;
}

function factsOf(entry: Entry): (readonly [string, string])[] {
  if (entry.kind === "progress") {
    return [
      ["Time", entryTime(entry)],
      ["Tokens so far", String(entry.tokens)],
    ];
  }
  const { request, tenant, model, engine, nodes, sampling, prompt } = entry;
  return [
    ["Time", entryTime(entry)],
    ["Request", request],
    ["Tenant", tenant],
    ["Model", `${model.root} (${model.source === "seal" ? "root of its seal" : "SHA-256 of its file"})`],
    [
      "Engine",
      `${engine.version}, ${engine.format}, KV ${engine.kv_format}, arithmetic ${engine.arithmetic}`,
    ],
    ["Computed on", nodes.join(", ")],
    ["Sampling", `temperature ${sampling.temperature}, seed ${sampling.seed}, choice ${sampling.choice}`],
    ["Tokens of the prompt", String(prompt.tokens)],
    ...(entry.kind === "close" ? ending(entry) : []),
  ];
}

function ending({ tokens, finish, error }: Extract<Entry, { kind: "close" }>): (readonly [string, string])[] {
  return [
    ["Tokens of the answer", String(tokens)],
    ["Ended by", error === undefined ? finish : `${finish}, ${error}`],
  ];
}
