/** Which models a server takes, by who sealed them, and how their weights are looked after. */

import { RULES_MAX, SCRUB_BYTES_DEFAULT, SCRUB_BYTES_MAX } from "./limits.ts";
import { numberOption, type OptionTable, recordsOption, textOption } from "./option.ts";

export interface TrustOptions {
  readonly keyFile: string;
  readonly model: string;
  readonly root: string | undefined;
}

export interface SealOptions {
  readonly sealTrust: readonly TrustOptions[];
  readonly sealBundle: string | undefined;
  readonly scrubBytesPerSecond: number;
}

const trustOptions: OptionTable<TrustOptions> = {
  // A key that is missing is a fault of its record.
  keyFile: textOption({
    name: "key_file",
    placeholder: "PUB",
    expected: "a path",
    meaning: "public key, P-256 or P-384 in PEM; relative to the configuration file",
    default: "",
  }),
  model: textOption({
    name: "model",
    placeholder: "PATTERN",
    pattern: /^[\w.*+@-]{1,256}$/,
    expected: "a name in which `*` stands for any letters",
    meaning:
      "the models that it may sanction, by the name that they are served under; `*` stands for any letters",
    default: "*",
  }),
  root: textOption({
    name: "root",
    placeholder: "DIGEST",
    pattern: /^[0-9a-f]{64}$/,
    expected: "64 hexadecimal digits in lower case",
    meaning: "the one model that it may sanction, by its root",
    default: undefined,
    otherwise: "any root",
  }),
};

export const sealOptions: OptionTable<SealOptions> = {
  sealTrust: recordsOption({
    name: "seal.trust",
    meaning: "whose seals are taken, and for which models; where there is any, no other model is served",
    fields: trustOptions,
    required: ["key_file"],
    oneOf: [],
    max: RULES_MAX,
  }),
  sealBundle: textOption({
    flag: "seal-bundle",
    name: "seal.bundle",
    placeholder: "FILE",
    meaning: "the model's seal",
    default: undefined,
    otherwise: "the model's path with .sig",
  }),
  scrubBytesPerSecond: numberOption({
    flag: "scrub-bytes-per-second",
    name: "scrub.bytes_per_second",
    unit: "bytes",
    meaning: "how much of the resident weights is compared each second with what was loaded; 0: nothing",
    range: [0, SCRUB_BYTES_MAX],
    default: SCRUB_BYTES_DEFAULT,
  }),
};
