/** Streams that outlive their connections. */

import { KEPT_BYTES_DEFAULT, KEPT_BYTES_MAX, KEPT_BYTES_MIN, LINGER_DEFAULT, LINGER_MAX } from "./limits.ts";
import { choiceOption, numberOption, type OptionTable } from "./option.ts";

export interface StreamOptions {
  readonly streamsResumable: "asked" | "always";
  readonly streamsLingerSeconds: number;
  readonly streamsKeptBytes: number;
}

export const streamOptions: OptionTable<StreamOptions> = {
  streamsResumable: choiceOption({
    flag: "streams-resumable",
    name: "streams.resumable",
    live: true,
    choices: ["asked", "always"],
    meaning:
      "which streams a client may come back to, and so go on without it: those that ask for it, or also all that do not refuse",
    default: "asked",
  }),
  streamsLingerSeconds: numberOption({
    flag: "streams-linger-seconds",
    name: "streams.linger_seconds",
    unit: "seconds",
    live: true,
    meaning:
      "how long such a stream goes on, or is kept, when nobody reads it; 0: every stream ends with its connection",
    range: [0, LINGER_MAX],
    default: LINGER_DEFAULT,
  }),
  streamsKeptBytes: numberOption({
    flag: "streams-kept-bytes",
    name: "streams.kept_bytes",
    unit: "bytes",
    live: true,
    meaning:
      "what the events of such streams may take; beyond it those go first that ended and that nobody reads",
    range: [KEPT_BYTES_MIN, KEPT_BYTES_MAX],
    default: KEPT_BYTES_DEFAULT,
  }),
};
