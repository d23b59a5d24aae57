/** I/O: which models may be served: a key, and what its owner may sanction. */

import { ClawError } from "../base/mod.ts";
import type { ModelSeal } from "../model/mod.ts";
import { refused } from "./bundle.ts";
import { readPublicKey } from "./keys.ts";
import { readSeal } from "./seal.ts";

/** What the owner of a key may sanction. */
export interface TrustRule {
  /** The public key in PEM. */
  readonly keyFile: string;
  /** A model's name, in which `*` stands for any letters. */
  readonly model: string;
  /** The only root, in hexadecimal; undefined: any. */
  readonly root: string | undefined;
}

interface Candidate {
  /** Its file. */
  readonly path: string;
  /** The name under which it is to be served. */
  readonly name: string;
  /** Its seal, where that is not beside it. */
  readonly bundle: string | undefined;
}

/**
 * What a model must turn out to be for one of the rules to let it be served; nothing of the model is read yet. Errors: E_KEY,
 * E_UNSEALED, E_SEAL, E_FILE.
 */
export function sanctionedSeal(rules: readonly TrustRule[], { path, name, bundle }: Candidate): ModelSeal {
  const all = rules.map((rule) => ({ ...rule, name: rule.keyFile, key: readPublicKey(rule.keyFile) }));
  const fitting = all.filter(({ model }) => matches(model, name));
  if (fitting.length === 0) throw unsanctioned(name, "no rule of seal.trust is for it");
  const { signedBy, seal } = readSeal(path, fitting, bundle);
  if (seal === undefined) throw refused("it has no root; `claw model seal` makes one that has");
  const signer = fitting.find((rule) => rule.name === signedBy);
  const takes = fitting.some(({ key, root }) => signer?.key.equals(key) && (root ?? seal.root) === seal.root);
  if (!takes) throw unsanctioned(name, `${signedBy} may not sanction the root ${seal.root}`);
  return seal;
}

/** Linear in the name, whatever the pattern: each part is looked for behind the one before, the last at the end. */
function matches(pattern: string, name: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

function unsanctioned(name: string, reason: string): ClawError {
  return new ClawError("E_SEAL", `The model ${name} may not be served: ${reason}.`);
}
