/** Divergence: what quantizing costs a model with outlier channels, ours and llama.cpp's on the same weights. */

import { join } from "node:path";
import { assert, at } from "../../base/mod.ts";
import { type PresetName, synthesize } from "../../model/mod.ts";
import { askOracle } from "../oracle.ts";
import { median } from "../rounds.ts";
import { withFolder } from "../scratch.ts";
import { meanDivergence } from "./distributions.ts";
import { DIVERGENCE_TOKENS } from "./limits.ts";
import { type OurDevice, ourLogits } from "./ours.ts";
import { type LossyFormat, type Mixture, peerTypes, type QualityReport, type Quantized } from "./report.ts";
import { readRows, writeTokens } from "./rows.ts";

export interface DivergenceOptions {
  readonly preset: PresetName;
  readonly layers: number;
  readonly format: LossyFormat;
  readonly mixture: Mixture;
  readonly factors: readonly number[];
  readonly seeds: number;
  readonly threads: number | undefined;
  readonly peer: boolean;
  readonly onProgress: (fraction: number) => void;
}

/** Mean KL divergences of one model, in nats: each side's quantized weights from its own half floats. */
interface Pair {
  readonly ours: number;
  readonly peer: number | undefined;
  readonly quantized: Quantized | undefined;
  readonly device: OurDevice;
}

interface FactorOutcome {
  readonly factor: number;
  /** Medians of the seeds. */
  readonly ours: number;
  readonly peer: number | null;
  readonly ratio: number | null;
  readonly seeds: readonly Pick<Pair, "ours" | "peer">[];
}

/** The factor with the largest ratio, or divergence where no peer is asked, counts. Errors: E_PEER, E_USAGE, E_FILE. */
export async function measureDivergence(options: DivergenceOptions): Promise<QualityReport> {
  const { preset, layers, format, factors, seeds, onProgress } = options;
  const pairs: { readonly factor: number; readonly pair: Pair }[] = [];
  for (const factor of factors) {
    for (let seed = 0; seed < seeds; seed++) {
      pairs.push({
        factor,
        pair: await withFolder((folder) => comparePair(options, { folder, factor, seed })),
      });
      onProgress(pairs.length / (factors.length * seeds));
    }
  }
  const outcomes = factors.map((factor) =>
    factorOutcome(
      factor,
      pairs.filter((each) => each.factor === factor).map(({ pair }) => pair),
    ),
  );
  const worst = outcomes.toSorted((a, b) => (b.ratio ?? b.ours) - (a.ratio ?? a.ours))[0];
  assert(worst !== undefined, "Some factor was measured.");
  const { device, quantized } = at(pairs, 0).pair;
  return {
    bench: "divergence",
    unit: "nats from f16",
    ours: worst.ours,
    peer: worst.peer,
    ratio: worst.ratio,
    model: { preset, file: `${preset} with outliers` },
    format,
    ...device,
    details: { layers, tokens: DIVERGENCE_TOKENS, factors: outcomes, quantized: quantized ?? null },
  };
}

function factorOutcome(factor: number, pairs: readonly Pair[]): FactorOutcome {
  const ours = median(pairs.map((pair) => pair.ours));
  const peers = pairs.flatMap(({ peer }) => (peer === undefined ? [] : [peer]));
  const peer = peers.length === 0 ? null : median(peers);
  const seeds = pairs.map((pair) => ({ ours: pair.ours, peer: pair.peer }));
  return { factor, ours, peer, ratio: peer === null ? null : ours / peer, seeds };
}

interface Place {
  readonly folder: string;
  readonly factor: number;
  readonly seed: number;
}

async function comparePair(options: DivergenceOptions, { folder, factor, seed }: Place): Promise<Pair> {
  const { preset, layers, format, mixture, threads, peer } = options;
  const path = join(folder, "f16.gguf");
  synthesize({ preset, layers, type: "f16", outliers: true, outlierFactor: factor, seed, out: path });
  const tokens = tokensOf(seed);
  const base = await ourLogits({ path, format: "f16", threads }, tokens);
  const { rows, ...device } = await ourLogits({ path, format, threads }, tokens);
  const ours = meanDivergence(base.rows, rows);
  if (!peer) return { ours, peer: undefined, quantized: undefined, device };
  const other = join(folder, "quantized.gguf");
  const shared = { threads: device.threads };
  const asked = { model: path, out: other, type: peerTypes[format], pure: mixture === "pure", ...shared };
  const quantized = (await askOracle("quantize", asked)) as Quantized;
  const [half, less] = [
    await peerLogits(folder, path, { tokens, ...shared }),
    await peerLogits(folder, other, { tokens, ...shared }),
  ];
  return { ours, peer: meanDivergence(half, less), quantized, device };
}

async function peerLogits(
  folder: string,
  model: string,
  { tokens, threads }: { readonly tokens: Int32Array; readonly threads: number },
): Promise<readonly Float32Array[]> {
  const [list, out] = [join(folder, "tokens.json"), join(folder, "logits.bin")];
  writeTokens(list, tokens);
  const { vocab } = (await askOracle("logits", { model, "tokens-file": list, out, threads })) as {
    readonly vocab: number;
  };
  return readRows(out, vocab);
}

/** Ids without a pattern, of which every preset has more than these. */
function tokensOf(seed: number): Int32Array {
  return Int32Array.from({ length: DIVERGENCE_TOKENS }, (_, i) => {
    return 259 + ((Math.imul(i * 31 + seed * 7919 + 1, 0x9e3779b1) >>> 8) % 250);
  });
}
