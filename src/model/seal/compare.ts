/** Whether a model is what was sealed, and if not, what of it is something else. */

import { ClawError } from "../../base/mod.ts";
import { type ModelSeal, sealOf, topologyParts } from "./tree.ts";

const partNames: Readonly<Record<(typeof topologyParts)[number], string>> = {
  architecture: "the architecture",
  tokenizer: "the tokenizer",
  chat_template: "the chat template",
  quantization: "the quantization",
  header: "the header",
  padding: "what lies between the tensors",
};

/** Throws E_ALTERED, naming all that was altered (a few of them), where the models differ. */
export function compareSeals(found: ModelSeal, sealed: ModelSeal): void {
  const parts = topologyParts.filter((part) => found.topology[part] !== sealed.topology[part]);
  const names = new Set([...Object.keys(found.tensors), ...Object.keys(sealed.tensors)]);
  const changed = [...names].filter((name) => found.tensors[name] !== sealed.tensors[name]);
  const more = changed.length > 3 ? ` and ${changed.length - 3} more` : "";
  if (parts.length > 0 && changed.length === 0)
    throw altered(parts.map((part) => partNames[part]).join(", "));
  if (changed.length > 0) {
    const what = changed.length === 1 ? "the tensor" : "the tensors";
    throw altered(`${what} ${changed.slice(0, 3).join(", ")}${more}`);
  }
  if (found.root !== sealed.root) throw altered("the root");
}

/** Whether a seal's root follows from its parts. */
export function isConsistent(seal: ModelSeal): boolean {
  return sealOf(seal.topology, new Map(Object.entries(seal.tensors))).root === seal.root;
}

function altered(what: string): ClawError {
  return new ClawError("E_ALTERED", `The model is not the one that was sealed: ${what} differs.`);
}
