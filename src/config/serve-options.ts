/** The options of `claw serve`. */

import { ClawError } from "../base/mod.ts";
import { type AdaptersOptions, adaptersOptions } from "./adapter-options.ts";
import { type ClusterOptions, clusterOptions } from "./cluster-options.ts";
import { type EngineOptions, engineOptions, type ModelOptions, modelOptions } from "./engine-options.ts";
import { type ApiKeyOptions, apiKeyOptions } from "./key-options.ts";
import { type LedgerOptions, ledgerOptions } from "./ledger-options.ts";
import {
  KEYS_MAX,
  PORT_DEFAULT,
  PORT_MAX,
  QUEUE_DEFAULT,
  QUEUE_MAX,
  REQUEST_TIMEOUT_DEFAULT,
  REQUEST_TIMEOUT_MAX,
  SHUTDOWN_GRACE_DEFAULT,
  SHUTDOWN_GRACE_MAX,
} from "./limits.ts";
import {
  booleanOption,
  choiceOption,
  numberOption,
  type OptionTable,
  recordsOption,
  textOption,
} from "./option.ts";
import { type RankOptions, rankOptions } from "./rank-options.ts";
import { type SealOptions, sealOptions } from "./seal-options.ts";
import { type StreamOptions, streamOptions } from "./stream-options.ts";

/** What the HTTP side of a server goes by. */
export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  readonly authentication: boolean;
  readonly apiKeys: readonly ApiKeyOptions[];
  readonly biscuit: boolean;
  readonly biscuitFolder: string | undefined;
  readonly adminRemote: boolean;
  readonly metricsAuthentication: boolean;
  readonly maxQueueSize: number;
  readonly requestTimeoutSeconds: number;
  readonly shutdownGraceSeconds: number;
  readonly logLevel: "error" | "warn" | "info" | "debug";
  readonly logFormat: "json" | "text" | undefined;
}

export interface ServeOptions
  extends ModelOptions,
    AdaptersOptions,
    HttpOptions,
    StreamOptions,
    ClusterOptions,
    LedgerOptions,
    EngineOptions,
    RankOptions,
    SealOptions {}

const httpOptions: OptionTable<HttpOptions> = {
  host: textOption({
    flag: "host",
    name: "host",
    placeholder: "ADDRESS",
    meaning: "the address to listen on",
    default: "127.0.0.1",
  }),
  port: numberOption({
    flag: "port",
    name: "port",
    meaning: "the TCP port; 0 takes any free one",
    range: [0, PORT_MAX],
    default: PORT_DEFAULT,
  }),
  authentication: booleanOption({
    flag: "no-auth",
    name: "authentication",
    meaning: "whether requests need an API key; only on a loopback address they may do without",
    flagMeaning: "answer without an API key; only on a loopback address",
    default: true,
  }),
  apiKeys: recordsOption({
    name: "api_keys",
    live: true,
    meaning: "keys beside the one that the server makes for its owner",
    fields: apiKeyOptions,
    required: ["tenant"],
    oneOf: ["key_file", "key_sha256"],
    max: KEYS_MAX,
  }),
  biscuit: booleanOption({
    flag: "no-biscuit",
    name: "auth.biscuit.enabled",
    meaning: "whether capability tokens are taken beside API keys",
    flagMeaning: "take API keys only, no capability tokens",
    default: true,
  }),
  biscuitFolder: textOption({
    flag: "biscuit-folder",
    name: "auth.biscuit.folder",
    placeholder: "FOLDER",
    expected: "a path",
    meaning: "folder with the public keys of capability tokens, those revoked, and what was spent",
    default: undefined,
    otherwise: "`tokens` in the state folder",
  }),
  adminRemote: booleanOption({
    flag: "admin-remote",
    name: "admin.remote",
    live: true,
    meaning: "whether /admin answers other machines, too",
    flagMeaning: "answer /admin to other machines, too",
    default: false,
  }),
  metricsAuthentication: booleanOption({
    flag: "open-metrics",
    name: "metrics.authentication",
    live: true,
    meaning: "whether /metrics needs a key with the scope `metrics`",
    flagMeaning: "answer /metrics without a key",
    default: true,
  }),
  maxQueueSize: numberOption({
    flag: "max-queue-size",
    name: "max_queue_size",
    unit: "answers",
    live: true,
    meaning: "answers that may wait beside those that run",
    range: [0, QUEUE_MAX],
    default: QUEUE_DEFAULT,
  }),
  requestTimeoutSeconds: numberOption({
    flag: "request-timeout-seconds",
    name: "request_timeout_seconds",
    unit: "seconds",
    live: true,
    meaning: "how long a request may take in all; requests that run keep theirs",
    range: [1, REQUEST_TIMEOUT_MAX],
    default: REQUEST_TIMEOUT_DEFAULT,
  }),
  shutdownGraceSeconds: numberOption({
    flag: "shutdown-grace-seconds",
    name: "shutdown_grace_seconds",
    unit: "seconds",
    live: true,
    meaning: "how long running requests may go on when the server is told to stop",
    range: [0, SHUTDOWN_GRACE_MAX],
    default: SHUTDOWN_GRACE_DEFAULT,
  }),
  logLevel: choiceOption({
    flag: "log-level",
    name: "log.level",
    live: true,
    choices: ["error", "warn", "info", "debug"],
    meaning: "what is logged to standard error; `info` has a line for each request",
    default: "warn",
  }),
  logFormat: choiceOption({
    flag: "log-format",
    name: "log.format",
    choices: ["json", "text"],
    meaning: "lines of JSON, or of text for people",
    default: undefined,
    otherwise: "text on a terminal, else json",
  }),
};

export const serveOptions: OptionTable<ServeOptions> = {
  ...modelOptions,
  ...adaptersOptions,
  ...httpOptions,
  ...streamOptions,
  ...clusterOptions,
  ...ledgerOptions,
  ...engineOptions,
  ...rankOptions,
  ...sealOptions,
};

/** Whether only this machine can reach `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** Refuses to leave a server open to others. Errors: E_HOST. */
export function checkExposure({ host, authentication }: Pick<ServeOptions, "host" | "authentication">): void {
  if (authentication || isLoopback(host)) return;
  throw new ClawError("E_HOST", `Without authentication the server does not listen on ${host}.`);
}
