/** WebAssembly modules whose memory is bounded, also where they set no bound themselves. */

import { assert } from "../base/mod.ts";

const HEADER_BYTES = 8;
const MEMORY_SECTION = 5;
/** Of a memory's limits: only a minimum follows, or a maximum, too. */
const MINIMUM_ONLY = 0;
const WITH_MAXIMUM = 1;

/** What of WebAssembly's JavaScript interface is used here; the compiler knows it among a browser's alone. */
declare const WebAssembly: {
  readonly Module: {
    new (binary: Uint8Array): object;
    imports(module: object): readonly { readonly module: string }[];
  };
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
};

export interface BoundedModule {
  /** The names of what it imports from. */
  readonly imports: readonly string[];
  /** An instance with what was asked for; returns what it exports. */
  instantiate(imports: object): object;
}

/** Compiles a module that defines one memory, which may have at most `pagesMax` pages of 64 KiB. */
export function compileBounded(binary: Uint8Array, pagesMax: number): BoundedModule {
  const module = new WebAssembly.Module(withMemoryLimit(binary, pagesMax));
  const imports = new Set(WebAssembly.Module.imports(module).map((wanted) => wanted.module));
  return {
    imports: [...imports],
    instantiate: (given) => new WebAssembly.Instance(module, given).exports,
  };
}

/** Adds a maximum to the limits of the memory (WebAssembly core specification 2.0, section 5.5.8). */
function withMemoryLimit(module: Uint8Array, pagesMax: number): Uint8Array {
  let at = HEADER_BYTES;
  for (;;) {
    assert(at < module.length, "the module has a memory of its own");
    const [size, start] = readUnsigned(module, at + 1);
    if (module[at] === MEMORY_SECTION) {
      const [count, kindAt] = readUnsigned(module, start);
      const [pagesMin, end] = readUnsigned(module, kindAt + 1);
      assert(
        count === 1 && module[kindAt] === MINIMUM_ONLY && end === start + size,
        "its memory is unbounded",
      );
      assert(pagesMin <= pagesMax, "its first pages are within the bound");
      const section = [1, WITH_MAXIMUM, ...unsigned(pagesMin), ...unsigned(pagesMax)];
      const bounded = Uint8Array.from([MEMORY_SECTION, ...unsigned(section.length), ...section]);
      return Buffer.concat([module.subarray(0, at), bounded, module.subarray(end)]);
    }
    at = start + size;
  }
}

/** A LEB128 number, and where it ends. */
function readUnsigned(bytes: Uint8Array, at: number): [value: number, end: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
