/** The shapes of published models, with a vocabulary of 32,000; one small enough for tests, and one of layers alone. */

export interface RopeScaling {
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalContext: number;
}

export interface ModelShape {
  readonly vocabulary: number;
  readonly context: number;
  /** The width of the residual stream. */
  readonly width: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  readonly ropeBase: number;
  readonly ropeScaling?: RopeScaling;
  /** Whether the token embedding is also the output matrix. */
  readonly tied: boolean;
}

export type PresetName =
  | "llama-tiny"
  | "llama-thin"
  | "llama-135m"
  | "llama-1b"
  | "llama-3b"
  | "llama-8b"
  | "llama-70b";

/** Llama 3's way to stretch its context (Meta's reference code, `apply_scaling`). */
function llama3Scaling(factor: number): RopeScaling {
  return { factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192 };
}

const llama3 = {
  vocabulary: 32_000,
  context: 131_072,
  ropeBase: 500_000,
  ropeScaling: llama3Scaling(32),
} as const;

export const presets: Readonly<Record<PresetName, ModelShape>> = {
  "llama-tiny": {
    vocabulary: 512,
    context: 1024,
    width: 64,
    feedForward: 160,
    layers: 3,
    heads: 4,
    keyValueHeads: 2,
    headWidth: 16,
    ropeBase: 10_000,
    tied: true,
  },
  // As many layers as the larger models and next to nothing in them: a step is what its kernels are not.
  "llama-thin": {
    vocabulary: 512,
    context: 1024,
    width: 32,
    feedForward: 32,
    layers: 32,
    heads: 1,
    keyValueHeads: 1,
    headWidth: 32,
    ropeBase: 10_000,
    tied: true,
  },
  // SmolLM-135M
  "llama-135m": {
    vocabulary: 32_000,
    context: 2048,
    width: 576,
    feedForward: 1536,
    layers: 30,
    heads: 9,
    keyValueHeads: 3,
    headWidth: 64,
    ropeBase: 10_000,
    tied: true,
  },
  // Llama 3.2 1B
  "llama-1b": {
    ...llama3,
    width: 2048,
    feedForward: 8192,
    layers: 16,
    heads: 32,
    keyValueHeads: 8,
    headWidth: 64,
    tied: true,
  },
  // Llama 3.2 3B
  "llama-3b": {
    ...llama3,
    width: 3072,
    feedForward: 8192,
    layers: 28,
    heads: 24,
    keyValueHeads: 8,
    headWidth: 128,
    tied: true,
  },
  // Llama 3.1 8B
  "llama-8b": {
    ...llama3,
    ropeScaling: llama3Scaling(8),
    width: 4096,
    feedForward: 14_336,
    layers: 32,
    heads: 32,
    keyValueHeads: 8,
    headWidth: 128,
    tied: false,
  },
  // Llama 3.1 70B
  "llama-70b": {
    ...llama3,
    ropeScaling: llama3Scaling(8),
    width: 8192,
    feedForward: 28_672,
    layers: 80,
    heads: 64,
    keyValueHeads: 8,
    headWidth: 128,
    tied: false,
  },
};

export const presetNames: readonly PresetName[] = Object.keys(presets) as PresetName[];
