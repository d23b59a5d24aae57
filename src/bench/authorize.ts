/** I/O: what it takes to authorize an operation by a capability token: by Datalog in the worker, and from memory. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AuthorizerThread,
  attenuate,
  Capabilities,
  mint,
  type Operation,
  SpendingAccounts,
  TokenFolder,
} from "../capability/mod.ts";

interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface AuthorizeReport {
  readonly bench: "authorize";
  readonly blocks: number;
  readonly rounds: number;
  /** Every operation another one, so that none is remembered. */
  readonly evaluatedMs: Quantiles;
  /** Texts that are no token, by turns with the others: what it takes to ask the worker at all. */
  readonly exchangeMs: Quantiles;
  /** One operation again and again. */
  readonly rememberedMs: Quantiles;
}

/** Authorizations that are not counted, by which the worker and this thread have compiled what they run. */
const WARM_UPS = 500;

const nothing = { read: () => new Map(), note: () => {}, close: () => {} };

/** `rounds`: authorizations of each kind, one after another, with a token of three blocks and a warm worker. */
export async function measureAuthorize(rounds: number): Promise<AuthorizeReport> {
  const path = mkdtempSync(join(tmpdir(), "claw-tokens-"));
  const folder = new TokenFolder(path);
  await folder.rotate();
  const keys = folder.publicKeys();
  const authorizer = new AuthorizerThread(keys, { killed: () => {} });
  try {
    const grant = { endpoints: ["/v1/completions"], models: ["*"], adapters: [], tools: [] };
    const first = await mint(folder.signingKey(), { tenant: "bench", inference: [grant] }, { expires: 4e9 });
    const second = await attenuate(first, keys, { endpoints: grant.endpoints, tokens: 1e9 });
    const token = await attenuate(second, keys, { expires: 3e9, rate: { requests: 10, seconds: 1 } });
    const accounts = new SpendingAccounts(nothing);
    const capabilities = new Capabilities({ authorizer, accounts, now: Date.now });
    const once = (model: string) => timed(() => capabilities.authorize(token, operationOn(model)));
    for (let round = 0; round < WARM_UPS; round++) await once(`before-${round}`);
    await once("warm");
    const nobody = { token: "none", facts: undefined, now: 0 };
    const exchanges: number[] = [];
    const evaluatedMs = await quantiles(rounds, async (round) => {
      exchanges.push(await timed(() => authorizer.ask(nobody)));
      return once(`model-${round}`);
    });
    const rememberedMs = await quantiles(rounds, () => once("warm"));
    const exchangeMs = quantilesOf(exchanges);
    return { bench: "authorize", blocks: 3, rounds, evaluatedMs, exchangeMs, rememberedMs };
  } finally {
    await authorizer.close();
    rmSync(path, { recursive: true, force: true });
  }
}

function operationOn(model: string): Operation {
  return { kind: "inference", endpoint: "/v1/completions", models: [model], adapters: [], tools: [] };
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await action();
  return performance.now() - from;
}

async function quantiles(rounds: number, measure: (round: number) => Promise<number>): Promise<Quantiles> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push(await measure(round));
  return quantilesOf(times);
}

function quantilesOf(measured: readonly number[]): Quantiles {
  const times = measured.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
