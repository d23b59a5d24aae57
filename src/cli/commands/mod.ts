/** Every command, in the order the help lists them. */

import type { Command } from "../command.ts";
import { auditForget, auditRange, auditReplay } from "./audit.ts";
import { auditFind } from "./audit-find.ts";
import { bench } from "./bench.ts";
import { benchAlloc } from "./bench-alloc.ts";
import { benchAuthorize } from "./bench-authorize.ts";
import { benchDivergence } from "./bench-divergence.ts";
import { benchLedger } from "./bench-ledger.ts";
import { benchLink } from "./bench-link.ts";
import { benchPerplexity } from "./bench-perplexity.ts";
import { benchSeal } from "./bench-seal.ts";
import { benchServe } from "./bench-serve.ts";
import { benchShard } from "./bench-shard.ts";
import { benchTrain } from "./bench-train.ts";
import { cacheClear, cacheList } from "./cache.ts";
import { chat } from "./chat.ts";
import { clusterDrain } from "./cluster-drain.ts";
import { clusterKeygen } from "./cluster-keygen.ts";
import { clusterPlan } from "./cluster-plan.ts";
import { clusterStatus } from "./cluster-status.ts";
import { configCheck, configSchemaCommand } from "./config.ts";
import { doctor } from "./doctor.ts";
import { ledgerInfo, ledgerKeygen, ledgerVerify } from "./ledger.ts";
import { ledgerWitness } from "./ledger-witness.ts";
import { modelExport } from "./model-export.ts";
import { modelInspect } from "./model-inspect.ts";
import { modelKeygen, modelSeal, modelVerify } from "./model-seal.ts";
import { modelSynth } from "./model-synth.ts";
import { nodeJoin } from "./node-join.ts";
import { nodeMeasure } from "./node-measure.ts";
import { nodeRank } from "./node-rank.ts";
import { perplexity } from "./perplexity.ts";
import { receiptPage } from "./receipt-page.ts";
import { receiptVerify } from "./receipt-verify.ts";
import { run } from "./run.ts";
import { serve } from "./serve.ts";
import { tokenAttenuate, tokenInspect, tokenKeys, tokenMint, tokenRevoke } from "./token.ts";
import { tokenize } from "./tokenize.ts";
import { corpusEncode, tokenizerTrain } from "./tokenizer-train.ts";
import { train } from "./train.ts";
import { trainEval } from "./train-eval.ts";
import { trainLora } from "./train-lora.ts";

export const commands: readonly Command[] = [
  serve,
  configSchemaCommand,
  configCheck,
  run,
  chat,
  tokenize,
  tokenizerTrain,
  corpusEncode,
  trainEval,
  modelInspect,
  modelSynth,
  modelExport,
  modelKeygen,
  modelSeal,
  modelVerify,
  perplexity,
  trainLora,
  train,
  // Before `bench`, which would take their second word for its operand.
  benchAlloc,
  benchAuthorize,
  benchDivergence,
  benchLedger,
  benchLink,
  benchShard,
  benchSeal,
  benchPerplexity,
  benchServe,
  benchTrain,
  bench,
  tokenMint,
  tokenAttenuate,
  tokenInspect,
  tokenRevoke,
  tokenKeys,
  clusterKeygen,
  clusterPlan,
  clusterStatus,
  clusterDrain,
  nodeMeasure,
  nodeJoin,
  cacheList,
  cacheClear,
  auditReplay,
  auditRange,
  auditForget,
  auditFind,
  receiptVerify,
  receiptPage,
  ledgerInfo,
  ledgerKeygen,
  ledgerVerify,
  ledgerWitness,
  nodeRank,
  doctor,
];
