/** I/O: the thread that looks at tokens, and may be ended at any time. */

import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { BiscuitInstance } from "./biscuit.ts";
import { Evaluator } from "./evaluate.ts";
import { EVALUATION_BYTES_MAX } from "./limits.ts";
import { factsOf } from "./operation.ts";
import { mintWith } from "./tokens.ts";
import type { Question, RootKey, Verdict } from "./verdict.ts";

/**
 * V8 compiles a function of WebAssembly for speed when it has run for so long; by its default some of them wait for thousands of
 * evaluations, and compiling takes a core away from an answer now and then.
 */
const TIERING_BUDGET = 1_000_000;

/**
 * Evaluations after which all code is compiled for speed: one takes 1.5 ms at first and 0.6 in the end. Some come before the
 * first question, the others between the first questions, so that a server which is sent no tokens does without them.
 */
const WARM_UPS_FIRST = 50;
const WARM_UPS = 300;

setFlagsFromString(`--wasm-tiering-budget=${TIERING_BUDGET}`);
const instance = await BiscuitInstance.open();
const evaluator = new Evaluator(instance.biscuits, workerData as readonly RootKey[]);
const warmUp = makeWarmUp(instance);
instance.keep();
let [warmUps, isAsked] = [0, false];
while (warmUps < WARM_UPS_FIRST) warmUpOnce();
// What the library says when it panics is for its authors.
console.error = () => {};
parentPort?.on("message", (question: Question) => {
  parentPort?.postMessage(verdictOn(question));
  instance.reset();
  if (!isAsked) warmUpBetweenQuestions();
  isAsked = true;
});
parentPort?.postMessage("ready");

function warmUpOnce(): void {
  warmUp();
  instance.reset();
  warmUps++;
}

/** A question waits for one evaluation at most. */
function warmUpBetweenQuestions(): void {
  if (warmUps === WARM_UPS) return;
  warmUpOnce();
  setImmediate(warmUpBetweenQuestions);
}

function verdictOn(question: Question): Verdict {
  try {
    return evaluator.evaluate(question);
  } catch {
    const megabytes = EVALUATION_BYTES_MAX / 2 ** 20;
    const message = `Looking at the token was given up: it takes more than ${megabytes} MiB of memory, or made the library panic.`;
    return { identity: undefined, refusal: { code: "E_TOKEN_COST", message }, holdsUntil: 0 };
  }
}

function makeWarmUp({ biscuits }: BiscuitInstance): () => void {
  const pair = new biscuits.KeyPair(biscuits.SignatureAlgorithm.Ed25519);
  const all = ["*"];
  const rights = {
    tenant: "nobody",
    inference: [{ endpoints: all, models: all, adapters: all, tools: all }],
  };
  const root = { id: 0, privateKey: pair.getPrivateKey().toString() };
  const token = mintWith(biscuits, root, { rights, restrictions: { expires: 1, tokens: 1 } });
  const own = new Evaluator(biscuits, [{ id: 0, publicKey: pair.getPublicKey().toString() }]);
  const facts = factsOf({ kind: "inference", endpoint: "/v1", models: ["m"], adapters: [], tools: [] });
  return () => void own.evaluate({ token, facts, now: 0 });
}
