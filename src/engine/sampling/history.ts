/** The tokens a choice may depend on: prompt and answer so far. */
export interface History {
  readonly tokens: Int32Array;
  /** Tokens in use at the front of `tokens`. */
  readonly length: number;
  readonly promptLength: number;
}
