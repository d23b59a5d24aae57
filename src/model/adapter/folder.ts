/** I/O: an adapter's folder: `adapter_config.json` and `adapter_model.safetensors`, as PEFT saves them. */

import { createHash } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { attempt } from "../../base/files/mod.ts";
import { ClawError } from "../../base/mod.ts";
import type { ModelDescription } from "../architecture/mod.ts";
import { bytesSource, openByteSource } from "../gguf/mod.ts";
import { type Adapter, type AdapterMatrix, layerMatrices, layerTensor } from "../program/mod.ts";
import { adapterOf, peftTensors } from "./adapter.ts";
import { CONFIG_BYTES_MAX, VALUES_MAX } from "./limits.ts";
import { targetName } from "./peft.ts";
import { formatPeftConfig, type PeftConfig, parsePeftConfig } from "./peft-config.ts";
import { encodeSafetensors } from "./safetensors.ts";

const CONFIG = "adapter_config.json";
const TENSORS = "adapter_model.safetensors";
const FLOAT_BYTES = 4;
/** Bytes of a file of tensors: the values, and its header. */
const TENSORS_BYTES_MAX: number = VALUES_MAX * FLOAT_BYTES + 2 ** 24;

/** An adapter, and what names it in ledgers and fingerprints. */
export interface StoredAdapter extends Adapter {
  /** SHA-256 of what `sha256sum adapter_config.json adapter_model.safetensors` prints in its folder. */
  readonly digest: string;
}

/** Reads the adapter in a folder, for one model. Errors: E_FILE, E_ADAPTER. */
export function readAdapter(folder: string, model: ModelDescription): StoredAdapter {
  const [configPath, tensorsPath] = [join(folder, CONFIG), join(folder, TENSORS)];
  const config = readBounded(configPath, CONFIG_BYTES_MAX);
  const tensors = readBounded(tensorsPath, TENSORS_BYTES_MAX);
  const parsed = parsePeftConfig(new TextDecoder().decode(config), configPath);
  const adapter = adapterOf(bytesSource(tensors, tensorsPath), parsed, model);
  return { ...adapter, digest: digestOf(config, tensors) };
}

/** Only what was digested is used, so the files are read once, whole. */
function readBounded(path: string, bytesMax: number): Uint8Array {
  const source = openByteSource(path);
  try {
    if (source.size <= bytesMax) return source.read(0, source.size);
  } finally {
    source.close();
  }
  throw new ClawError("E_ADAPTER", `${path} has more than ${bytesMax} bytes.`);
}

function digestOf(config: Uint8Array, tensors: Uint8Array): string {
  const line = (bytes: Uint8Array, name: string): string => `${sha256(bytes)}  ${name}\n`;
  return sha256(line(config, CONFIG) + line(tensors, TENSORS));
}

function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

export interface AdapterContent {
  readonly config: PeftConfig;
  readonly matrices: ReadonlyMap<string, AdapterMatrix>;
  readonly model: ModelDescription;
}

/** Writes an adapter's folder, whole or not at all; one that is there is replaced. Errors: E_FILE. */
export function writeAdapter(folder: string, { config, matrices, model }: AdapterContent): void {
  const layers = Array.from({ length: model.layers }, (_, layer) => layer);
  const places = layers.flatMap((layer) => layerMatrices.map((matrix) => ({ layer, matrix })));
  const tensors = places.flatMap((place) => {
    const found = matrices.get(layerTensor(place.layer, place.matrix));
    return found === undefined ? [] : peftTensors(found, place, model);
  });
  const used = layerMatrices.filter((matrix) =>
    layers.some((layer) => matrices.has(layerTensor(layer, matrix))),
  );
  const text = formatPeftConfig(config, { base: model.name, targets: used.map(targetName) });
  const partial = `${folder}.partial`;
  attempt(`Cannot write ${folder}`, () => {
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(dirname(folder), { recursive: true });
    mkdirSync(partial);
    writeFileSync(join(partial, CONFIG), text, { flush: true });
    writeFileSync(join(partial, TENSORS), encodeSafetensors(tensors, { format: "pt" }), { flush: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(partial, folder);
  });
}
