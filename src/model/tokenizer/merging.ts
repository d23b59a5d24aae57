import { MinimumHeap } from "./heap.ts";

/**
 * A text cut into symbols, linked in order. A symbol that was merged into its left neighbour has `next` -1.
 */
export interface SymbolList {
  readonly count: number;
  /** Per symbol: its token, or -1 where the vocabulary has none. */
  readonly ids: Int32Array;
  /** Per symbol: its right neighbour; `count` after the last one. */
  readonly next: Int32Array;
}

export interface MergeRules {
  /** The merge that joins a symbol with its right neighbour, or -1. */
  find(symbols: SymbolList, left: number): number;
  /** The order of a merge: lower ones go first, and among equals the leftmost. A non-negative integer. */
  priorityOf(merge: number): number;
  /** The token that a merge makes. */
  tokenOf(merge: number): number;
}

export function linkSymbols(ids: Int32Array): SymbolList {
  return { count: ids.length, ids, next: Int32Array.from(ids, (_, index) => index + 1) };
}

/**
 * Applies merges in order of priority until none is left, in place, in O(n log n) lookups.
 *
 * The heap holds one number per candidate, `priority * count + left`, which orders by priority and then by
 * position and is exact below 2^53 (priorities stay below 2^22). A candidate may have been overtaken by the
 * time its turn comes, so the pair that now starts at `left` is looked up afresh: if it has the popped
 * priority, then this is its own turn as well, otherwise the pair has a candidate of its own.
 */
export function mergeSymbols(symbols: SymbolList, rules: MergeRules): void {
  const { count, ids, next } = symbols;
  const previous = Int32Array.from(ids, (_, index) => index - 1);
  const heap = new MinimumHeap();
  const propose = (left: number): void => {
    if (left < 0 || next[left]! >= count) return;
    const merge = rules.find(symbols, left);
    if (merge >= 0) heap.push(rules.priorityOf(merge) * count + left);
  };
  for (let left = 0; left < count; left++) propose(left);
  for (let key = heap.pop(); key !== undefined; key = heap.pop()) {
    const left = key % count;
    const right = next[left]!;
    if (right < 0 || right >= count) continue;
    const merge = rules.find(symbols, left);
    if (merge < 0 || rules.priorityOf(merge) !== Math.floor(key / count)) continue;
    ids[left] = rules.tokenOf(merge);
    next[left] = next[right]!;
    next[right] = -1;
    if (next[left]! < count) previous[next[left]!] = left;
    propose(previous[left]!);
    propose(left);
  }
}
