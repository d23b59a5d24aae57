/** Our side: logits and perplexity of a file, in one format. */

import {
  createRuntime,
  measurePerplexity,
  openDevice,
  type Perplexity,
  type Runtime,
  STEP_ROWS_DEFAULT,
  scoreTokens,
} from "../../engine/mod.ts";
import type { WeightFormat } from "../../kernels/mod.ts";
import { openModel, openModelFile } from "../../model/mod.ts";
import { QUALITY_OUTPUTS } from "./limits.ts";

export interface OurOptions {
  readonly path: string;
  readonly format: WeightFormat;
  /** Undefined: one per core. */
  readonly threads: number | undefined;
}

export interface OurDevice {
  readonly device: string;
  readonly threads: number;
}

/** The logits after every token, a row each. Errors: all that loading refuses, and E_CONTEXT. */
export function ourLogits(
  options: OurOptions,
  tokens: Int32Array,
): Promise<{ readonly rows: readonly Float32Array[] } & OurDevice> {
  return withRuntime(options, tokens.length, async (runtime) => {
    const rows: Float32Array[] = [];
    await scoreTokens(runtime, tokens, { from: 0, visit: (_, logits) => rows.push(logits.slice()) });
    return { rows };
  });
}

export function ourPerplexity(
  options: OurOptions,
  tokens: Int32Array,
  { window, bos }: { readonly window: number; readonly bos: number | undefined },
): Promise<Perplexity & OurDevice> {
  return withRuntime(options, window, (runtime) => measurePerplexity(runtime, tokens, { window, bos }));
}

/** A text's ids as llama.cpp's perplexity tool has them, and BOS where the model asks for it. */
export function tokenizeText(
  path: string,
  text: string,
): { readonly tokens: Int32Array; readonly bos: number | undefined; readonly context: number } {
  const model = openModel(path);
  const { bos, addBos } = model.tokenizer;
  const tokens = model.tokenizer.encode(text, { addSpecial: true, parseSpecial: false });
  model.close();
  return { tokens, bos: addBos ? bos : undefined, context: model.description.context };
}

async function withRuntime<T extends object>(
  { path, format, threads }: OurOptions,
  context: number,
  work: (runtime: Runtime) => Promise<T>,
): Promise<T & OurDevice> {
  const file = openModelFile(path);
  const { device } = await openDevice({ device: "auto", threads });
  try {
    const size = { context, batch: 1, rows: STEP_ROWS_DEFAULT, outputs: QUALITY_OUTPUTS };
    const result = await work(await createRuntime(device, file, { format, ...size }));
    return { ...result, device: device.name, threads: device.threads };
  } finally {
    device.close();
    file.close();
  }
}
