/** Every command by its name, in the order the help lists them. What a command needs is read when it is called: all of it would take longer than most commands. */

import { assert } from "../../base/mod.ts";
import type { Command } from "../command.ts";

const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import("./serve.ts")).serve,
  "config schema": async () => (await import("./config.ts")).configSchemaCommand,
  "config check": async () => (await import("./config.ts")).configCheck,
  run: async () => (await import("./run.ts")).run,
  chat: async () => (await import("./chat.ts")).chat,
  tokenize: async () => (await import("./tokenize.ts")).tokenize,
  "tokenizer train": async () => (await import("./tokenizer-train.ts")).tokenizerTrain,
  "corpus encode": async () => (await import("./tokenizer-train.ts")).corpusEncode,
  "train eval": async () => (await import("./train-eval.ts")).trainEval,
  "model inspect": async () => (await import("./model-inspect.ts")).modelInspect,
  "model synth": async () => (await import("./model-synth.ts")).modelSynth,
  "model export": async () => (await import("./model-export.ts")).modelExport,
  "model keygen": async () => (await import("./model-seal.ts")).modelKeygen,
  "model seal": async () => (await import("./model-seal.ts")).modelSeal,
  "model verify": async () => (await import("./model-seal.ts")).modelVerify,
  perplexity: async () => (await import("./perplexity.ts")).perplexity,
  "train lora": async () => (await import("./train-lora.ts")).trainLora,
  train: async () => (await import("./train.ts")).train,
  "bench alloc": async () => (await import("./bench-alloc.ts")).benchAlloc,
  "bench authorize": async () => (await import("./bench-authorize.ts")).benchAuthorize,
  "bench divergence": async () => (await import("./bench-divergence.ts")).benchDivergence,
  "bench ledger": async () => (await import("./bench-ledger.ts")).benchLedger,
  "bench link": async () => (await import("./bench-link.ts")).benchLink,
  "bench seal": async () => (await import("./bench-seal.ts")).benchSeal,
  "bench perplexity": async () => (await import("./bench-perplexity.ts")).benchPerplexity,
  "bench serve": async () => (await import("./bench-serve.ts")).benchServe,
  "bench shard": async () => (await import("./bench-shard.ts")).benchShard,
  "bench train": async () => (await import("./bench-train.ts")).benchTrain,
  bench: async () => (await import("./bench.ts")).bench,
  "token mint": async () => (await import("./token.ts")).tokenMint,
  "token attenuate": async () => (await import("./token.ts")).tokenAttenuate,
  "token inspect": async () => (await import("./token.ts")).tokenInspect,
  "token revoke": async () => (await import("./token.ts")).tokenRevoke,
  "token keys": async () => (await import("./token.ts")).tokenKeys,
  "cluster keygen": async () => (await import("./cluster-keygen.ts")).clusterKeygen,
  "cluster plan": async () => (await import("./cluster-plan.ts")).clusterPlan,
  "cluster status": async () => (await import("./cluster-status.ts")).clusterStatus,
  "cluster drain": async () => (await import("./cluster-drain.ts")).clusterDrain,
  "node measure": async () => (await import("./node-measure.ts")).nodeMeasure,
  "node join": async () => (await import("./node-join.ts")).nodeJoin,
  "cache list": async () => (await import("./cache.ts")).cacheList,
  "cache clear": async () => (await import("./cache.ts")).cacheClear,
  "audit replay": async () => (await import("./audit.ts")).auditReplay,
  "audit range": async () => (await import("./audit.ts")).auditRange,
  "audit forget": async () => (await import("./audit.ts")).auditForget,
  "audit find": async () => (await import("./audit-find.ts")).auditFind,
  "receipt verify": async () => (await import("./receipt-verify.ts")).receiptVerify,
  "receipt page": async () => (await import("./receipt-page.ts")).receiptPage,
  "ledger info": async () => (await import("./ledger.ts")).ledgerInfo,
  "ledger keygen": async () => (await import("./ledger.ts")).ledgerKeygen,
  "ledger verify": async () => (await import("./ledger.ts")).ledgerVerify,
  "ledger witness": async () => (await import("./ledger-witness.ts")).ledgerWitness,
  "node rank": async () => (await import("./node-rank.ts")).nodeRank,
  doctor: async () => (await import("./doctor.ts")).doctor,
};

export const commandNames: readonly string[] = Object.keys(loaders);

/** The command of that name, which is one of `commandNames`. */
export function loadCommand(name: string): Promise<Command> {
  const load = loaders[name];
  assert(load !== undefined, `${name} is a command`);
  return load();
}
