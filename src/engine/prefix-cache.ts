/**
 * Full KV pages by the tokens they were computed from: a radix tree whose edges are whole pages. Keys and values of a
 * position depend on the tokens up to it and on nothing else, so whoever comes with the same tokens may use the page.
 *
 * Every node's page is held once by the cache and once by each sequence that uses it. A sequence that uses a node uses
 * all nodes above it, and lets go of the deepest first; so among the nodes nobody uses, in order of when that began,
 * children come before their parents, and the first can always be evicted: nothing is below it.
 */

import { assert, at } from "../base/mod.ts";
import { KV_PAGE_TOKENS } from "../kernels/mod.ts";
import type { PagePool } from "./pages.ts";

export class PrefixNode {
  readonly parent: PrefixNode | undefined;
  /** The page's tokens as text, 32 bits each; of a root, its scope. */
  readonly key: string;
  readonly page: number;
  readonly children: Map<string, PrefixNode> = new Map();

  constructor(parent: PrefixNode | undefined, key: string, page: number) {
    this.parent = parent;
    this.key = key;
    this.page = page;
  }
}

/** A page that begins with the same tokens, and how many those are. */
export interface PartialHit {
  readonly node: PrefixNode;
  readonly tokens: number;
}

/** Siblings looked at for a partial hit; more would take longer than computing the tokens. */
const SIBLINGS_MAX = 64;

export class PrefixCache {
  readonly #pool: PagePool;
  readonly #roots = new Map<string, PrefixNode>();
  /** Nodes nobody uses, least recently used first: a set iterates in order of insertion. */
  readonly #idle = new Set<PrefixNode>();
  #additions = 0;

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  /** Pages ever added: while it stays, no look finds more than the last one did. */
  get additions(): number {
    return this.#additions;
  }

  /** Pages that only the cache holds. */
  get idle(): number {
    return this.#idle.size;
  }

  /** Where looking begins. Pages of one scope are never seen from another. */
  root(scope: string): PrefixNode {
    return this.#roots.get(scope) ?? new PrefixNode(undefined, scope, -1);
  }

  /** The page below `node` for the tokens from position `from`; undefined when it is not here. */
  find(
    node: PrefixNode,
    tokens: Int32Array,
    ...[from, end = from + KV_PAGE_TOKENS]: readonly [from: number, end?: number]
  ): PrefixNode | undefined {
    return node.children.size === 0 ? undefined : node.children.get(keyOf(tokens, from, end));
  }

  /** The page below `node` that shares the most tokens of [from, end), fewer than a page; undefined when none shares any. */
  findPartial(
    node: PrefixNode,
    tokens: Int32Array,
    ...[from, end]: readonly [number, number]
  ): PartialHit | undefined {
    const key = node.children.size === 0 ? "" : keyOf(tokens, from, Math.min(end, from + KV_PAGE_TOKENS));
    let best: PartialHit | undefined;
    let looked = 0;
    for (const child of node.children.values()) {
      const shared = sharedTokens(key, child.key);
      if (shared > (best?.tokens ?? 0)) best = { node: child, tokens: shared };
      if (++looked === SIBLINGS_MAX) break;
    }
    return best;
  }

  /**
   * Adds the page computed from the tokens [from, end), below `node`; the cache holds it from now on. One that is not full is
   * only ever a partial hit.
   */
  add(
    node: PrefixNode,
    tokens: Int32Array,
    ...[[from, end], page]: readonly [readonly [number, number], number]
  ): PrefixNode {
    const parent = node.parent === undefined ? this.#known(node) : node;
    const child = new PrefixNode(parent, keyOf(tokens, from, end), page);
    assert(!parent.children.has(child.key), "A page is cached once.");
    parent.children.set(child.key, child);
    this.#additions++;
    this.#pool.hold(page);
    return child;
  }

  /** A sequence begins to use a node. */
  hold(node: PrefixNode): void {
    this.#idle.delete(node);
    this.#pool.hold(node.page);
  }

  /** A sequence that used `node` and all above it, does no longer. */
  release(node: PrefixNode): void {
    for (let used = node; used.parent !== undefined; used = used.parent) this.rest(used);
  }

  /** Lets go of one node alone. */
  rest(node: PrefixNode): void {
    if (this.#pool.release(node.page) === 1) this.#idle.add(node);
  }

  /** Frees the page that has gone unused longest; false when all are in use. */
  evict(): boolean {
    const [oldest] = this.#idle;
    if (oldest === undefined) return false;
    const { parent, key, page, children } = oldest;
    assert(parent !== undefined && children.size === 0, "Nothing is below the page unused longest.");
    this.#idle.delete(oldest);
    parent.children.delete(key);
    if (parent.parent === undefined && parent.children.size === 0) this.#roots.delete(parent.key);
    this.#pool.release(page);
    return true;
  }

  /** The root that others find: roots are kept while there is something below them. */
  #known(root: PrefixNode): PrefixNode {
    const known = this.#roots.get(root.key) ?? root;
    if (known === root) this.#roots.set(root.key, root);
    return known;
  }
}

/** Tokens as text, two 16-bit units each: text is what a map compares by value. */
function keyOf(tokens: Int32Array, from: number, end: number): string {
  let key = "";
  for (let i = from; i < end; i++) {
    const token = at(tokens, i);
    key += String.fromCharCode(token & 0xffff, token >>> 16);
  }
  return key;
}

function sharedTokens(a: string, b: string): number {
  let units = 0;
  const most = Math.min(a.length, b.length);
  while (units < most && a.charCodeAt(units) === b.charCodeAt(units)) units++;
  return units >> 1;
}
