/** I/O: the thread that looks at tokens, and may be ended at any time. */

import { parentPort, workerData } from "node:worker_threads";
import { loadBiscuit } from "./biscuit.ts";
import { Evaluator } from "./evaluate.ts";
import { factsOf } from "./operation.ts";
import { mint } from "./tokens.ts";
import type { Question, RootKey } from "./verdict.ts";

/** Evaluations after which the code is compiled and the first real one is as fast as any. */
const WARM_UPS = 50;

const biscuits = await loadBiscuit();
await warmUp();
const evaluator = new Evaluator(biscuits, workerData as readonly RootKey[]);
parentPort?.on("message", (question: Question) => parentPort?.postMessage(evaluator.evaluate(question)));
parentPort?.postMessage("ready");

async function warmUp(): Promise<void> {
  const pair = new biscuits.KeyPair(biscuits.SignatureAlgorithm.Ed25519);
  const all = ["*"];
  const rights = {
    tenant: "nobody",
    inference: [{ endpoints: all, models: all, adapters: all, tools: all }],
  };
  const root = { id: 0, privateKey: pair.getPrivateKey().toString() };
  const token = await mint(root, rights, { expires: 1, tokens: 1 });
  const own = new Evaluator(biscuits, [{ id: 0, publicKey: pair.getPublicKey().toString() }]);
  const facts = factsOf({ kind: "inference", endpoint: "/v1", models: ["m"], adapters: [], tools: [] });
  for (let round = 0; round < WARM_UPS; round++) own.evaluate({ token, facts, now: 0 });
}
