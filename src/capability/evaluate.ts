/** One token and one operation, by Biscuit's own Datalog. Runs in a worker: a token can make it take long. */

import { asClawError, ClawError } from "../base/mod.ts";
import { type AuthorizerBuilder, type Biscuits, type Token, withoutClock } from "./biscuit.ts";
import { FACTS_MAX, ITERATIONS_MAX } from "./limits.ts";
import { holdsUntil, type Meter, meterFacts, metersOf } from "./meters.ts";
import { policyCode } from "./policy.ts";
import { isBroken, lent, RootKeys, reasonOf, revocationIdsOf, type Verified } from "./root-keys.ts";
import type { Identity, Question, RootKey, Verdict } from "./verdict.ts";

const limits = { max_facts: FACTS_MAX, max_iterations: ITERATIONS_MAX } as const;

export class Evaluator {
  readonly #biscuits: Biscuits;
  readonly #keys: RootKeys;
  /** Read once; merged into what is asked. */
  readonly #policies: AuthorizerBuilder;

  constructor(biscuits: Biscuits, keys: readonly RootKey[]) {
    this.#biscuits = biscuits;
    this.#keys = new RootKeys(biscuits, keys);
    this.#policies = new biscuits.AuthorizerBuilder();
    this.#policies.addCode(policyCode);
  }

  /** Errors: what the library throws when it panicked and its memory has to be put back. */
  evaluate(question: Question): Verdict {
    const { facts, now } = question;
    let identity: Identity | undefined;
    try {
      const verified = this.#keys.verify(question.token);
      return lent(verified.token, (token) => {
        identity = identityOf(verified);
        const refusal = facts === undefined ? undefined : this.#refusal(token, question, identity.meters);
        return { identity, refusal, holdsUntil: holdsUntil(verified.sources, now) };
      });
    } catch (thrown) {
      if (isBroken(thrown)) throw thrown;
      const { code, message } = asClawError(thrown);
      return { identity, refusal: { code, message }, holdsUntil: Number.POSITIVE_INFINITY };
    }
  }

  #refusal(token: Token, { facts = "", now }: Question, meters: readonly Meter[]): Verdict["refusal"] {
    const builder = new this.#biscuits.AuthorizerBuilder();
    const time = new Date(now * 1000).toISOString().replace(".000", "");
    builder.merge(this.#policies);
    builder.addCode(`time(${time}); ${facts} ${meterFacts(meters)}`);
    try {
      withoutClock(() =>
        lent(builder.buildAuthenticated(token), (authorizer) => authorizer.authorizeWithLimits(limits)),
      );
      return undefined;
    } catch (error) {
      if (isBroken(error)) throw error;
      return refusalOf(error);
    }
  }
}

function identityOf({ token, sources }: Verified): Identity {
  const tenant = /^tenant\("([^"\\]{1,64})"\);$/m.exec(sources[0] ?? "")?.[1];
  if (tenant === undefined) throw new ClawError("E_TOKEN", "The capability token names no tenant.");
  return { tenant, revocationIds: revocationIdsOf(token), meters: sources.flatMap(metersOf) };
}

interface FailedCheck {
  readonly Block?: { readonly block_id: number; readonly rule: string };
}

/** What of the library's errors is looked at. */
interface Failure {
  readonly RunLimit?: unknown;
  readonly FailedLogic?: {
    readonly [kind: string]: { readonly checks?: readonly FailedCheck[] } | undefined;
  };
}

function refusalOf(error: unknown): Verdict["refusal"] {
  const { RunLimit, FailedLogic } = (typeof error === "object" && error !== null ? error : {}) as Failure;
  if (RunLimit !== undefined) {
    return { code: "E_TOKEN_COST", message: `Looking at the token was given up: ${reasonOf(RunLimit)}.` };
  }
  if (FailedLogic === undefined) {
    return { code: "E_TOKEN", message: `The token cannot be evaluated: ${reasonOf(error)}.` };
  }
  const checks = Object.values(FailedLogic).flatMap((logic) => logic?.checks ?? []);
  const failed = checks.flatMap(({ Block }) => (Block === undefined ? [] : [Block]));
  if (failed.length === 0) return { code: "E_CAPABILITY", message: "No grant of the token allows this." };
  const said = failed
    .map(({ block_id: block, rule }) => `block ${block} says \`${rule.slice(0, 200)}\``)
    .join(", ");
  const ofTime = failed.every(({ rule }) => /^check if time\(\$now\), \$now (?:<|>=) \S+$/.test(rule));
  if (ofTime) return { code: "E_TOKEN_EXPIRED", message: `The token is not valid now: ${said}.` };
  return { code: "E_CAPABILITY", message: `The token does not allow this: ${said}.` };
}
