/**
 * What is signed: an in-toto statement with Model Signing's predicate. Its resources are files by their SHA-256; `openclaw`
 * beside them is ours, which other verifiers pass over, as the predicate's definition tells them to.
 */

import { createHash } from "node:crypto";
import { isConsistent, type ModelSeal, type Topology, topologyParts } from "../model/mod.ts";
import { record, refused } from "./bundle.ts";
import { RESOURCES_MAX } from "./limits.ts";

const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE = "https://model_signing/signature/v1.0";

/** A file below the model's folder, or "." where the model is one file. */
export interface Resource {
  readonly name: string;
  /** SHA-256 in hexadecimal. */
  readonly digest: string;
}

export interface Statement {
  /** The model's name, which says nothing. */
  readonly subject: string;
  readonly resources: readonly Resource[];
  /** Names that the signature says nothing about. */
  readonly ignored: readonly string[];
  /** Undefined in bundles of other makers. */
  readonly seal: ModelSeal | undefined;
}

/** The statement about a model that is one file. */
export function statementOf(name: string, fileDigest: string, seal: ModelSeal): string {
  const resources: Resource[] = [{ name: ".", digest: fileDigest }];
  return JSON.stringify({
    _type: STATEMENT_TYPE,
    subject: [{ name, digest: { sha256: resourcesDigest(resources) } }],
    predicateType: PREDICATE_TYPE,
    predicate: {
      serialization: { method: "files", hash_type: "sha256", allow_symlinks: false },
      resources: resources.map((resource) => ({ algorithm: "sha256", ...resource })),
      openclaw: seal,
    },
  });
}

/** Checks all that a statement claims about itself. Errors: E_SEAL. */
export function readStatement(value: unknown): Statement {
  const statement = record(value, "its statement");
  expectEqual(statement["_type"], STATEMENT_TYPE, "its statement's type");
  expectEqual(statement["predicateType"], PREDICATE_TYPE, "its predicate's type");
  const subjects = statement["subject"];
  if (!Array.isArray(subjects) || subjects.length !== 1) throw refused("it does not have one subject");
  const subject = record(subjects[0], "its subject");
  const predicate = record(statement["predicate"], "its predicate");
  const serialization = record(predicate["serialization"], "its serialization");
  expectEqual(serialization["method"], "files", "its serialization's method");
  expectEqual(serialization["hash_type"], "sha256", "its hash");
  const resources = readResources(predicate["resources"]);
  const claimed = record(subject["digest"], "its subject's digest")["sha256"];
  expectEqual(claimed, resourcesDigest(resources), "its subject's digest");
  const ignored = serialization["ignore_paths"] ?? [];
  if (!Array.isArray(ignored) || !ignored.every((name) => typeof name === "string")) {
    throw refused("what it ignores is no list of names");
  }
  const seal = predicate["openclaw"] === undefined ? undefined : readSeal(predicate["openclaw"]);
  return { subject: String(subject["name"]), resources, ignored, seal };
}

function readResources(value: unknown): Resource[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > RESOURCES_MAX) {
    throw refused(`it does not have 1 to ${RESOURCES_MAX} resources`);
  }
  const names = new Set<string>();
  return value.map((each) => {
    const { name, digest, algorithm } = record(each, "a resource");
    expectEqual(algorithm, "sha256", "a resource's algorithm");
    if (typeof name !== "string" || !isBelow(name))
      throw refused(`it names the resource ${JSON.stringify(name)}`);
    if (names.has(name)) throw refused(`it names the resource ${JSON.stringify(name)} twice`);
    names.add(name);
    return { name, digest: hex(digest) };
  });
}

/** A relative path that stays below its folder, in the one way to spell it. */
function isBelow(name: string): boolean {
  if (name === ".") return true;
  if (name.length > 4096 || /[\0\\]/.test(name)) return false;
  return name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** SHA-256 over the resources' digests in a row. */
function resourcesDigest(resources: readonly Resource[]): string {
  const hash = createHash("sha256");
  for (const { digest } of resources) hash.update(Buffer.from(digest, "hex"));
  return hash.digest("hex");
}

function readSeal(value: unknown): ModelSeal {
  const { root, topology, tensors } = record(value, "its model root");
  const parts = record(topology, "its topology");
  expectEqual(parts["version"], 1, "its topology's version");
  const read = Object.fromEntries(topologyParts.map((part) => [part, hex(parts[part])]));
  const digests = Object.entries(record(tensors, "its list of tensors")).map(([name, digest]) => [
    name,
    hex(digest),
  ]);
  const seal: ModelSeal = {
    root: hex(root),
    topology: { version: 1, ...read } as Topology,
    tensors: Object.assign(Object.create(null), Object.fromEntries(digests)),
  };
  if (!isConsistent(seal)) throw refused("its root does not follow from its tensors");
  return seal;
}

function hex(value: unknown): string {
  if (typeof value === "string" && /^[0-9a-f]{64}$/.test(value)) return value;
  throw refused("a digest is not 64 hexadecimal digits");
}

function expectEqual(found: unknown, expected: unknown, what: string): void {
  if (found !== expected)
    throw refused(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
}
