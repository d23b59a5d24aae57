/** `adapter_config.json` as Hugging Face PEFT's `LoraConfig` writes it, as far as it decides what an adapter computes. */

import { ClawError } from "../../base/mod.ts";
import { ADAPTER_RANK_MAX } from "../../kernels/mod.ts";
import { ALPHA_MAX } from "./limits.ts";

export interface PeftConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Whether the product is divided by the rank's square root (rsLoRA: Kalajdzievski, 2023) instead of the rank. */
  readonly rankStabilized: boolean;
}

/** What would change the product and is not computed here; each may be there as long as it says nothing. */
const unsupported = [
  "use_dora",
  "use_qalora",
  "fan_in_fan_out",
  "lora_bias",
  "bias",
  "modules_to_save",
  "rank_pattern",
  "alpha_pattern",
  "layer_replication",
  "trainable_token_indices",
  "alora_invocation_tokens",
  "target_parameters",
];

/** Errors: E_ADAPTER, naming what is wrong or not supported. */
export function parsePeftConfig(text: string, name: string): PeftConfig {
  const refuse = (why: string): never => {
    throw new ClawError("E_ADAPTER", `Reading ${name}: ${why}.`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refuse("it is no object");
  const config = value as Readonly<Record<string, unknown>>;
  const { peft_type: kind, r: rank, lora_alpha: alpha, use_rslora: rankStabilized } = config;
  if (kind !== "LORA") return refuse(`its peft_type is ${JSON.stringify(kind)}, and only LORA is supported`);
  if (typeof rank !== "number" || !Number.isInteger(rank) || rank < 1 || rank > ADAPTER_RANK_MAX) {
    return refuse(
      `its r is ${JSON.stringify(rank)}; a whole number from 1 to ${ADAPTER_RANK_MAX} was expected`,
    );
  }
  if (typeof alpha !== "number" || !(alpha > 0 && alpha <= ALPHA_MAX)) {
    return refuse(`its lora_alpha is ${JSON.stringify(alpha)}; a number up to ${ALPHA_MAX} was expected`);
  }
  const used = unsupported.find((key) => !saysNothing(config[key]));
  if (used !== undefined) return refuse(`it uses ${used}, which is not supported`);
  return { rank, alpha, rankStabilized: rankStabilized === true };
}

function saysNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "none") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** What the product of an adapter's matrices is multiplied by. */
export function scaleOf({ rank, alpha, rankStabilized }: PeftConfig): number {
  return Math.fround(alpha / (rankStabilized ? Math.sqrt(rank) : rank));
}

/** The file's text; `targets` are PEFT's names of matrices, such as `q_proj`. */
export function formatPeftConfig(
  { rank, alpha, rankStabilized }: PeftConfig,
  { base, targets }: { readonly base: string; readonly targets: readonly string[] },
): string {
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: alpha,
    use_rslora: rankStabilized,
    target_modules: targets,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    modules_to_save: null,
    inference_mode: true,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
