/** I/O: the WebAssembly of Biscuit (https://www.biscuitsec.org, specification version 3.3), loaded when it is first needed. */

import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert } from "../base/mod.ts";
import { EVALUATION_BYTES_MAX, MEMORY_PAGES_MAX } from "./limits.ts";
import { compileBounded } from "./wasm-memory.ts";

export type { AuthorizerBuilder, Biscuit as Token, PublicKey } from "@biscuit-auth/biscuit-wasm";

type Biscuits = typeof import("@biscuit-auth/biscuit-wasm");

let loading: Promise<Biscuits> | undefined;

/** Loads it once. It greets on standard output, where commands print results, so that it is silenced while it does. */
export function loadBiscuit(): Promise<Biscuits> {
  loading ??= silenced(() => import("@biscuit-auth/biscuit-wasm"));
  return loading;
}

async function silenced<T>(load: () => Promise<T>): Promise<T> {
  const { log } = console;
  console.log = () => {};
  try {
    return await load();
  } finally {
    console.log = log;
  }
}

/** The JavaScript half of the library, as wasm-bindgen makes it. */
type Glue = Biscuits & { __wbg_set_wasm(exports: object): void };

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  __wbindgen_start(): void;
  /** Allocates bytes, and frees them, by size and alignment. */
  __wbindgen_export_0(size: number, alignment: number): number;
  __wbindgen_export_3(at: number, size: number, alignment: number): void;
  /** Moves the stack by so many bytes; returns where it is. */
  __wbindgen_add_to_stack_pointer(bytes: number): number;
}

/**
 * An instance of the library whose memory is bounded and can be put back. Its allocator (wee_alloc) hardly joins what is given
 * back to it: memory grows with every evaluation, searching it takes longer, and growing makes garbage that takes milliseconds
 * to collect. Memory that is put back after every evaluation does none of that, and survives a panic.
 */
export class BiscuitInstance {
  readonly biscuits: Biscuits;
  readonly #exports: Exports;
  /** Where the stack begins. Before that is what calls leave behind. */
  readonly #stack: number;
  readonly #kept: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  private constructor(biscuits: Biscuits, exports: Exports) {
    this.biscuits = biscuits;
    this.#exports = exports;
    this.#stack = exports.__wbindgen_add_to_stack_pointer(0);
  }

  static async open(): Promise<BiscuitInstance> {
    const manifest = findPackageJSON("@biscuit-auth/biscuit-wasm", import.meta.url);
    assert(manifest !== undefined, "the library is installed");
    const fileOf = (name: string): string => join(manifest, "..", "module", name);
    // Apart from what `loadBiscuit` loads: the JavaScript half serves one instance.
    const load = (name: string): Promise<unknown> => import(`${pathToFileURL(fileOf(name)).href}?bounded`);
    const module = compileBounded(readFileSync(fileOf("biscuit_bg.wasm")), MEMORY_PAGES_MAX);
    return silenced(async () => {
      const imports = await withoutFinalization(() =>
        Promise.all(module.imports.map(async (name) => [name, await load(name)] as const)),
      );
      const glue = (await load("biscuit_bg.js")) as Glue;
      const exports = module.instantiate(Object.fromEntries(imports)) as Exports;
      glue.__wbg_set_wasm(exports);
      exports.__wbindgen_start();
      return new BiscuitInstance(glue, exports);
    });
  }

  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  /** Keeps what is in memory now; everything made later is gone after `reset`. */
  keep(): void {
    const { memory, __wbindgen_export_0: allocate, __wbindgen_export_3: free } = this.#exports;
    // The allocator gets room of this size, is given it back, and from then on takes from there what it needs.
    const room = allocate(EVALUATION_BYTES_MAX, 1);
    assert(room > this.#stack, "there is room");
    const bytes = Buffer.from(memory.buffer);
    const end = room + EVALUATION_BYTES_MAX;
    bytes.fill(FREE, room, end);
    free(room, EVALUATION_BYTES_MAX, 1);
    // What it notes about free room is before it and at its beginning.
    const from = room + CELL_BYTES;
    assert(bytes.subarray(from, end).equals(Buffer.alloc(end - from, FREE)), "the room is one piece");
    this.#kept.push({ at: this.#stack, bytes: Uint8Array.from(bytes.subarray(this.#stack, from)) });
    this.#kept.push({ at: end, bytes: Uint8Array.from(bytes.subarray(end)) });
  }

  /** Puts memory and stack back to what they were when `keep` was called, whatever became of them. */
  reset(): void {
    const { memory, __wbindgen_add_to_stack_pointer: moveStack } = this.#exports;
    const all = new Uint8Array(memory.buffer);
    for (const { at, bytes } of this.#kept) all.set(bytes, at);
    moveStack(this.#stack - moveStack(0));
  }
}

/** What room is filled with for a look at what the allocator writes into it, and how many bytes that may be. */
const FREE = 0xa5;
const CELL_BYTES = 64;

/** Objects of the library that are left behind are not to be given back one by one to a memory that was put back. */
async function withoutFinalization<T>(run: () => Promise<T>): Promise<T> {
  const registry = globalThis.FinalizationRegistry;
  Reflect.deleteProperty(globalThis, "FinalizationRegistry");
  try {
    return await run();
  } finally {
    globalThis.FinalizationRegistry = registry;
  }
}

/**
 * Runs Datalog with a clock that stands still. The library gives up after 1 ms of a rule's first run, whatever limit it is
 * told, and a busy machine takes longer for a good token. How long it may take is the watchdog's to say.
 */
export function withoutClock<T>(run: () => T): T {
  performance.now = () => 0;
  try {
    return run();
  } finally {
    Reflect.deleteProperty(performance, "now");
  }
}

export type { Biscuits };
