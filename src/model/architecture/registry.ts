/** The architectures that can be read, by the name GGUF files give them. */

import { ClawError } from "../../base/mod.ts";
import type { Gguf } from "../gguf/mod.ts";
import type { ModelDescription } from "./description.ts";
import { describeLlama } from "./llama.ts";

type Reader = (gguf: Gguf, frequencyDivisors: Float32Array | undefined) => ModelDescription;

const readers: ReadonlyMap<string, Reader> = new Map([["llama", describeLlama]]);

/** The tensor that holds Llama 3's frequency divisors. */
export const ROPE_FREQUENCIES = "rope_freqs.weight";

/** Describes the model of a file. E_ARCHITECTURE names what is supported; E_MODEL_SHAPE what contradicts. */
export function describe(gguf: Gguf, frequencyDivisors: Float32Array | undefined): ModelDescription {
  const architecture = gguf.metadata.string("general.architecture");
  const reader = readers.get(architecture);
  if (reader !== undefined) return reader(gguf, frequencyDivisors);
  const known = [...readers.keys()].join(", ");
  throw new ClawError("E_ARCHITECTURE", `The model's architecture is ${architecture}; supported: ${known}.`);
}
