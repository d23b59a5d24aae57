/** Whether a model is what was sealed, and if not, what of it is something else. */

import { ClawError } from "../../base/mod.ts";
import type { ModelFile } from "../program/mod.ts";
import { topologyOf } from "./topology.ts";
import { type ModelSeal, sealOf, type Topology, topologyParts } from "./tree.ts";

const partNames: Readonly<Record<(typeof topologyParts)[number], string>> = {
  architecture: "the architecture",
  tokenizer: "the tokenizer",
  chat_template: "the chat template",
  quantization: "the quantization",
  header: "the header",
  padding: "what lies between the tensors",
};

/** Tensors that an error names. */
const NAMED_MAX = 3;

/** Throws E_ALTERED, naming all that was altered (a few of them), where the models differ. */
export function compareSeals(found: ModelSeal, sealed: ModelSeal): void {
  const names = new Set([...Object.keys(found.tensors), ...Object.keys(sealed.tensors)]);
  const changed = [...names].filter((name) => found.tensors[name] !== sealed.tensors[name]);
  if (changed.length > 0) throw alteredTensors(changed);
  compareTopologies(found.topology, sealed.topology);
  if (found.root !== sealed.root) throw altered("the root");
}

/** Checks all of an open model file but its tensors' data. Errors: E_ALTERED, E_FILE. */
export function checkTopology(file: ModelFile, sealed: ModelSeal): void {
  const names = new Set(file.gguf.tensors.keys());
  const others = [...names.symmetricDifference(new Set(Object.keys(sealed.tensors)))];
  if (others.length > 0) throw alteredTensors(others);
  compareTopologies(topologyOf(file), sealed.topology);
}

/** Whether a seal's root follows from its parts. */
export function isConsistent(seal: ModelSeal): boolean {
  return sealOf(seal.topology, new Map(Object.entries(seal.tensors))).root === seal.root;
}

/** Of tensors that are not those that were sealed. */
export function alteredTensors(names: readonly string[]): ClawError {
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : "";
  const what = names.length === 1 ? "the tensor" : "the tensors";
  return altered(`${what} ${names.slice(0, NAMED_MAX).join(", ")}${more}`);
}

function compareTopologies(found: Topology, sealed: Topology): void {
  const parts = topologyParts.filter((part) => found[part] !== sealed[part]);
  if (parts.length > 0) throw altered(parts.map((part) => partNames[part]).join(", "));
}

function altered(what: string): ClawError {
  return new ClawError("E_ALTERED", `The model is not the one that was sealed: ${what} differs.`);
}
