/** What a page's contents depend on beside the tokens, and who may see them: a prefix tree of its own for each. */

export interface PrefixOrigin {
  readonly tenant: string;
  /** Weights laid over the model's; undefined: none. */
  readonly adapter: string | undefined;
  /** Switches of precision that the pages were computed under (arithmetic.md). */
  readonly epochs: readonly number[];
}

/** The name of a tree. Tenants have trees of their own, unless they share: then only time tells what others asked. */
export function prefixScope({ tenant, adapter, epochs }: PrefixOrigin, shared: boolean): string {
  // As JSON, so that no name can be made to look like two.
  return JSON.stringify([shared ? null : tenant, adapter ?? null, epochs]);
}
