/** A KV page as the ranks of a placement have it, and as one that does not depend on the placement: layer by layer, head by head. */

import type { RankProgram } from "../../model/mod.ts";

/** The layers and KV heads of a model, and the bytes of one head of one layer in a page. */
export interface PageShape {
  readonly layers: number;
  readonly heads: number;
  readonly headBytes: number;
}

/** Undefined where ranks keep pages in unlike ways. `bytes`: of a page's part on each rank. */
export function pageShape(
  programs: readonly RankProgram[],
  bytes: readonly number[],
  { layers, kvHeads: heads }: { readonly layers: number; readonly kvHeads: number },
): PageShape | undefined {
  const each = programs.map(({ kv }, rank) => (bytes[rank] ?? Number.NaN) / (kv.layers * kv.heads));
  const [headBytes = Number.NaN] = each;
  const alike = Number.isInteger(headBytes) && each.every((other) => other === headBytes);
  return alike ? { layers, heads, headBytes } : undefined;
}

export function pageBytes({ layers, heads, headBytes }: PageShape): number {
  return layers * heads * headBytes;
}

export function partBytes({ headBytes }: PageShape, { kv }: RankProgram): number {
  return kv.layers * kv.heads * headBytes;
}

/** Fills a rank's part with what it is in the page. */
export function cutPart(
  page: Uint8Array,
  part: Uint8Array,
  ...[shape, { held }]: [PageShape, RankProgram]
): void {
  for (const [whole, own] of runs(shape, held)) part.set(page.subarray(...whole), own);
}

/** Puts a rank's part in its place in the page. */
export function placePart(
  page: Uint8Array,
  part: Uint8Array,
  ...[shape, { held }]: [PageShape, RankProgram]
): void {
  for (const [[start, end], own] of runs(shape, held)) page.set(part.subarray(own, own + end - start), start);
}

/** Bytes that lie together in both: where in the page, and from where on in the part. */
function* runs(
  { heads, headBytes }: PageShape,
  { layers, kvHeads }: RankProgram["held"],
): Generator<readonly [readonly [number, number], number]> {
  const bytes = (kvHeads[1] - kvHeads[0]) * headBytes;
  for (let layer = layers[0]; layer < layers[1]; layer++) {
    const start = (layer * heads + kvHeads[0]) * headBytes;
    yield [[start, start + bytes], (layer - layers[0]) * bytes];
  }
}
