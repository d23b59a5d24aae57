/** Adapters: low-rank matrices beside some of a model's (LoRA: Hu and others, 2021). */

/** y = W x + scale * B (A x). */
export interface AdapterMatrix {
  /** [rank][in] */
  readonly a: Float32Array;
  /** [out][rank], rows as the model file has them. */
  readonly b: Float32Array;
}

export interface Adapter {
  readonly rank: number;
  readonly scale: number;
  /** By the GGUF name of the matrix beside which they stand. */
  readonly matrices: ReadonlyMap<string, AdapterMatrix>;
}
