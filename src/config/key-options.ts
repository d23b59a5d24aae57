/** API keys as the configuration names them: whose they are, what they open, and where the secret lies. */

import { PRIORITY_MAX } from "./limits.ts";
import { choicesOption, numberOption, type OptionTable, textOption } from "./option.ts";

/** `inference` opens /v1, `metrics` /metrics, `admin` /admin. */
export type KeyScope = "inference" | "metrics" | "admin";

export interface ApiKeyOptions {
  readonly tenant: string;
  readonly keyFile: string | undefined;
  /** Of the key's bytes, in hexadecimal. */
  readonly keySha256: string | undefined;
  readonly scopes: readonly KeyScope[];
  readonly priorityMin: number;
}

export const apiKeyOptions: OptionTable<ApiKeyOptions> = {
  // A tenant that is missing is a fault of its record.
  tenant: textOption({
    name: "tenant",
    placeholder: "NAME",
    pattern: /^[A-Za-z0-9][\w.-]{0,63}$/,
    expected: "a name of 1 to 64 letters, digits, dots, dashes and underscores",
    meaning: "whose key it is; names the requests in logs and shares the machine fairly between tenants",
    default: "",
  }),
  keyFile: textOption({
    name: "key_file",
    placeholder: "FILE",
    expected: "a path",
    meaning: "file that holds the key and only its owner can read; relative to the configuration file",
    default: undefined,
  }),
  keySha256: textOption({
    name: "key_sha256",
    placeholder: "DIGEST",
    pattern: /^[0-9a-f]{64}$/,
    expected: "64 hexadecimal digits in lower case",
    meaning: "SHA-256 of the key, in place of the key itself",
    default: undefined,
  }),
  scopes: choicesOption({
    name: "scopes",
    choices: ["inference", "metrics", "admin"],
    meaning: "what the key opens: `/v1`, `/metrics`, `/admin`",
    default: ["inference"],
  }),
  priorityMin: numberOption({
    name: "priority_min",
    range: [-PRIORITY_MAX, PRIORITY_MAX],
    meaning: "the most urgent `priority` that its requests may ask for; lower numbers come first",
    default: 0,
  }),
};
