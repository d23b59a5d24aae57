/** What tokens say: rights in their first block, restrictions in any, as the Datalog that is written here alone. */

import { ClawError } from "../base/mod.ts";
import { grantCheck, grantFacts, type SandboxGrants } from "./grants.ts";
import { RATE_REQUESTS_MAX, RATE_SECONDS_MAX } from "./limits.ts";
import { quoted, setOf } from "./operation.ts";

/** One grant for inference: every combination of what its sets name; `*` names everything. */
export interface InferenceGrant {
  readonly endpoints: readonly string[];
  /** Ids or roots. */
  readonly models: readonly string[];
  readonly adapters: readonly string[];
  readonly tools: readonly string[];
}

export interface Rights extends SandboxGrants {
  readonly tenant: string;
  readonly inference?: readonly InferenceGrant[];
  readonly scopes?: readonly ("metrics" | "admin")[];
}

/** What a block takes away; each one only ever narrows. */
export interface Restrictions {
  readonly models?: readonly string[] | undefined;
  readonly endpoints?: readonly string[] | undefined;
  readonly adapters?: readonly string[] | undefined;
  readonly tools?: readonly string[] | undefined;
  /** Seconds since 1970; valid before. */
  readonly expires?: number | undefined;
  /** Seconds since 1970; valid from then on. */
  readonly notBefore?: number | undefined;
  /** Tokens of prompts and answers, in all. */
  readonly tokens?: number | undefined;
  /** Requests, in all. */
  readonly requests?: number | undefined;
  readonly rate?: { readonly requests: number; readonly seconds: number } | undefined;
  /** All that sandboxes may still do; undefined: what they might before. */
  readonly sandbox?: SandboxGrants | undefined;
}

/** The facts of a first block. Errors: E_PARAMETER. */
export function rightsCode(rights: Rights): string {
  const { tenant, inference = [], scopes = [] } = rights;
  const facts = [
    `tenant(${quoted(checkedTenant(tenant))})`,
    ...inference.map(
      ({ endpoints, models, adapters, tools }) =>
        `grant_inference(${[endpoints, models, adapters, tools].map(setOf).join(", ")})`,
    ),
    ...scopes.map((scope) => `grant_scope(${quoted(scope)})`),
    ...grantFacts(rights),
  ];
  return lines(facts);
}

/** What a server takes for a tenant, so that no token is made that it refuses. */
function checkedTenant(tenant: string): string {
  if (/^[^"\\]{1,64}$/.test(tenant)) return tenant;
  const odd = JSON.stringify(tenant.slice(0, 80));
  throw new ClawError(
    "E_PARAMETER",
    `${odd} is no tenant: 1 to 64 letters without quotation mark and backslash.`,
  );
}

/** The checks of block number `block`, counted from 0. Errors: E_PARAMETER. */
export function restrictionsCode(restrictions: Restrictions, block: number): string {
  const { models, endpoints, adapters, tools, expires, notBefore, tokens, requests, rate, sandbox } =
    restrictions;
  const inference = "inference($e, $m, $a, $t)";
  const checks = [
    models && `check if ${inference}, ${setOf(models)}.intersection($m).length() > 0 or operation("list")`,
    endpoints && `check if endpoint($e), ${setOf(endpoints)}.contains($e)`,
    adapters && `check if ${inference}, ${setOf(adapters)}.contains($a) or operation("list")`,
    tools && `check if ${inference}, ${setOf(tools)}.contains($t) or operation("list")`,
    notBefore !== undefined && `check if time($now), $now >= ${dateOf(notBefore)}`,
    expires !== undefined && `check if time($now), $now < ${dateOf(expires)}`,
    tokens !== undefined && `check if spent("tokens", ${block}, $n), $n < ${amount(tokens)}`,
    requests !== undefined && `check if spent("requests", ${block}, $n), $n < ${amount(requests)}`,
    rate &&
      `check if recent("requests", ${block}, ${amount(rate.seconds)}, $n), $n < ${amount(rate.requests)}`,
    sandbox && grantCheck(sandbox),
  ];
  if (rate && (rate.requests > RATE_REQUESTS_MAX || rate.seconds > RATE_SECONDS_MAX)) {
    const most = `${RATE_REQUESTS_MAX} requests in ${RATE_SECONDS_MAX} seconds`;
    throw new ClawError("E_PARAMETER", `A rate counts at most ${most}.`);
  }
  return lines(checks.filter((check) => typeof check === "string"));
}

function lines(statements: readonly string[]): string {
  return statements.map((statement) => `${statement};\n`).join("");
}

function amount(value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ClawError("E_PARAMETER", `${value} is no amount; a whole number above 0 was expected.`);
}

function dateOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  if (!Number.isInteger(seconds) || Number.isNaN(date.getTime())) {
    throw new ClawError("E_PARAMETER", `${seconds} is no time in whole seconds since 1970.`);
  }
  return date.toISOString().replace(".000", "");
}
