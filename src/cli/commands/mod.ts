/** Every command, in the order the help lists them. */

import type { Command } from "../command.ts";
import { bench } from "./bench.ts";
import { chat } from "./chat.ts";
import { doctor } from "./doctor.ts";
import { modelInspect } from "./model-inspect.ts";
import { modelSynth } from "./model-synth.ts";
import { perplexity } from "./perplexity.ts";
import { run } from "./run.ts";
import { serve } from "./serve.ts";
import { tokenize } from "./tokenize.ts";

export const commands: readonly Command[] = [
  serve,
  run,
  chat,
  tokenize,
  modelInspect,
  modelSynth,
  perplexity,
  bench,
  doctor,
];
