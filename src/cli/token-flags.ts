/** The flags of `claw token`, and what they say of a token. */

import { ClawError } from "../base/mod.ts";
import type { Restrictions } from "../capability/mod.ts";
import { numberOption, type OptionTable, switchOption, textOption } from "../config/mod.ts";

export interface CommonFlags {
  readonly folder: string | undefined;
  readonly json: boolean;
}

export interface LimitFlags {
  readonly model: string | undefined;
  readonly endpoint: string | undefined;
  readonly adapter: string | undefined;
  readonly tool: string | undefined;
  readonly budget: number | undefined;
  readonly requests: number | undefined;
  readonly rate: string | undefined;
  readonly expires: string | undefined;
  readonly notBefore: string | undefined;
  readonly grants: string | undefined;
}

const AMOUNT_MAX = 999_999_999_999;

const list = (flag: string, meaning: string) => {
  return textOption({ flag, placeholder: "NAME,…", meaning, default: undefined });
};

const amount = (flag: string, meaning: string) => {
  return numberOption({ flag, meaning, range: [1, AMOUNT_MAX], default: undefined });
};

const time = (flag: string, meaning: string) => {
  return textOption({
    flag,
    placeholder: "TIME",
    pattern: /^(?:\d{1,9}[smhd]|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/,
    expected: "a time from now on as 90s, 15m, 12h or 30d, or a date as 2030-01-31T12:00:00Z",
    meaning,
    default: undefined,
  });
};

export const commonFlags: OptionTable<CommonFlags> = {
  folder: textOption({
    flag: "folder",
    placeholder: "FOLDER",
    meaning: "where keys and revoked ids lie",
    default: undefined,
    otherwise: "`tokens` in the state folder",
  }),
  json: switchOption("json", "print an object"),
};

export const limitFlags: OptionTable<LimitFlags> = {
  model: list("model", "models by id or root; `*` stands for all where rights are given"),
  endpoint: list("endpoint", "endpoints, as /v1/completions"),
  adapter: list("adapter", "adapters"),
  tool: list("tool", "tools"),
  budget: amount("budget", "tokens of prompts and answers, in all"),
  requests: amount("requests", "requests, in all"),
  rate: textOption({
    flag: "rate",
    placeholder: "N/SECONDS",
    pattern: /^\d{1,5}\/\d{1,5}$/,
    expected: "requests and seconds as 10/60",
    meaning: "requests in any so many seconds",
    default: undefined,
  }),
  expires: time("expires", "when it ends to be valid"),
  notBefore: time("not-before", "when it begins to be valid"),
  grants: textOption({
    flag: "grants",
    placeholder: "FILE",
    meaning: "what sandboxes may do, as JSON: sql, connect, files and syscalls",
    default: undefined,
  }),
};

/** What flags take away. `now` is in seconds since 1970. */
export function restrictionsOf(flags: LimitFlags, now: number): Restrictions {
  const { model, endpoint, adapter, tool } = flags;
  return {
    models: names(model),
    endpoints: names(endpoint),
    adapters: names(adapter),
    tools: names(tool),
    ...amountsOf(flags, now),
  };
}

/** What flags take away of how much and when. */
export function amountsOf(flags: LimitFlags, now: number): Restrictions {
  const { budget, requests, rate, expires, notBefore } = flags;
  const [most = 0, seconds = 0] = rate?.split("/").map(Number) ?? [];
  return {
    tokens: budget,
    requests,
    rate: rate === undefined ? undefined : { requests: most, seconds },
    expires: secondsOf(expires, now),
    notBefore: secondsOf(notBefore, now),
  };
}

export function names(text: string | undefined): readonly string[] | undefined {
  return text?.split(",").map((name) => name.trim());
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

function secondsOf(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const seconds =
    unit === undefined ? Date.parse(text) / 1000 : now + Number(count) * (unitSeconds[unit] ?? 0);
  if (Number.isSafeInteger(seconds)) return seconds;
  throw new ClawError("E_USAGE", `${JSON.stringify(text)} is no time.`);
}
