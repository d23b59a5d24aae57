/** Perplexity of a real model on a text: ours, and that of the file llama.cpp makes of the same model. */

import { basename, join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { askOracle } from "../oracle.ts";
import { withFolder } from "../scratch.ts";
import { PERPLEXITY_WINDOW } from "./limits.ts";
import { ourPerplexity, tokenizeText } from "./ours.ts";
import { type LossyFormat, type Mixture, peerTypes, type QualityReport, type Quantized } from "./report.ts";
import { writeTokens } from "./rows.ts";

export interface PerplexityOptions {
  readonly path: string;
  readonly text: string;
  readonly format: LossyFormat;
  readonly mixture: Mixture;
  /** Undefined: PERPLEXITY_WINDOW, or the model's context where that is smaller. */
  readonly window: number | undefined;
  readonly threads: number | undefined;
  readonly peer: boolean;
  readonly onProgress: (fraction: number) => void;
}

interface PeerFigures {
  /** Of the quantized file, and of the model as it is. */
  readonly perplexity: number;
  readonly base: number;
  readonly count: number;
  readonly quantized: Quantized;
}

/** Errors: E_PEER, E_CONTEXT, E_USAGE for a text without a window, and those of loading. */
export async function comparePerplexity(options: PerplexityOptions): Promise<QualityReport> {
  const { path, text, format, threads, onProgress } = options;
  const { tokens, bos, context } = tokenizeText(path, text);
  const window = options.window ?? Math.min(PERPLEXITY_WINDOW, context);
  const ours = await ourPerplexity({ path, format, threads }, tokens, { window, bos });
  onProgress(1 / 3);
  const base = await ourPerplexity({ path, format: "f16", threads }, tokens, { window, bos });
  onProgress(2 / 3);
  const size = { tokens, window, threads: ours.threads };
  const peer = options.peer ? await peerPerplexity(options, size) : undefined;
  onProgress(1);
  if (peer !== undefined && peer.count !== ours.count) {
    throw new ClawError("E_PEER", `The peer scored ${peer.count} tokens, not ${ours.count}.`);
  }
  const { device, count, windows } = ours;
  return {
    bench: "perplexity",
    unit: "perplexity",
    ours: ours.perplexity,
    peer: peer?.perplexity ?? null,
    ratio: peer === undefined ? null : ours.perplexity / peer.perplexity,
    model: { preset: null, file: basename(path) },
    format,
    device,
    threads: ours.threads,
    details: {
      count,
      windows,
      window,
      base: { ours: base.perplexity, peer: peer?.base ?? null },
      quantized: peer?.quantized ?? null,
    },
  };
}

interface Size {
  readonly tokens: Int32Array;
  readonly window: number;
  readonly threads: number;
}

function peerPerplexity(
  { path, format, mixture }: PerplexityOptions,
  { tokens, window, threads }: Size,
): Promise<PeerFigures> {
  return withFolder(async (folder) => {
    const [list, out] = [join(folder, "tokens.json"), join(folder, "quantized.gguf")];
    writeTokens(list, tokens);
    const asked = { model: path, out, type: peerTypes[format], pure: mixture === "pure", threads };
    const quantized = (await askOracle("quantize", asked)) as Quantized;
    const scored = async (model: string): Promise<{ perplexity: number; count: number }> =>
      (await askOracle("perplexity", { model, "tokens-file": list, window, threads })) as {
        perplexity: number;
        count: number;
      };
    const { perplexity, count } = await scored(out);
    return { perplexity, count, base: (await scored(path)).perplexity, quantized };
  });
}
