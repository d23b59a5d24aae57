/** I/O: the WebAssembly of Biscuit (https://www.biscuitsec.org, specification version 3.3), loaded when it is first needed. */

export type { Biscuit as Token, PublicKey } from "@biscuit-auth/biscuit-wasm";

type Biscuits = typeof import("@biscuit-auth/biscuit-wasm");

let loading: Promise<Biscuits> | undefined;

/** Loads it once. It greets on standard output, where commands print results, so that it is silenced while it does. */
export function loadBiscuit(): Promise<Biscuits> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Biscuits> {
  const { log } = console;
  console.log = () => {};
  try {
    return await import("@biscuit-auth/biscuit-wasm");
  } finally {
    console.log = log;
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
