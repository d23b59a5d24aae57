/** A configuration as a JSON document: to settings, or to what is wrong with it, each fault with its place. */

import { ClawError } from "../base/mod.ts";
import { FAULTS_MAX, TEXT_LENGTH_MAX } from "./limits.ts";
import {
  entriesOf,
  expectation,
  isOfKind,
  type NamedOption,
  type Option,
  type OptionTable,
} from "./option.ts";
import { closest } from "./suggestion.ts";

/** Letters after which the beginning of a name stands for it. */
const BEGINNING_MIN = 4;

export interface Fault {
  /** `log.level`, `api_keys[1].tenant`; empty: the whole document. */
  readonly path: string;
  /** What follows the path in a sentence. */
  readonly problem: string;
}

export interface Reading<S> {
  /** The settings that the document names; worth nothing where there are faults. */
  readonly values: Partial<S>;
  /** At most FAULTS_MAX, in the document's order. */
  readonly faults: readonly Fault[];
}

/** Reads a document: an object with the options' names, sections as objects within; `$schema` is for editors. */
export function readDocument<S>(table: OptionTable<S>, document: unknown): Reading<S> {
  const faults: Fault[] = [];
  const names = entriesOf(table).filter(([, { name }]) => name !== undefined);
  if (!isObject(document)) {
    faults.push({ path: "", problem: `${describe(document)}; an object was expected` });
    return { values: {}, faults };
  }
  const { $schema: _, ...options } = document;
  const values = readObject(options, { names, base: "", faults });
  return { values: values as Partial<S>, faults: faults.slice(0, FAULTS_MAX) };
}

/** Several faults as one error. `what`: whose they are, to begin a sentence with. */
export function faultsError(what: string, faults: readonly Fault[]): ClawError {
  const [first] = faults;
  const list = faults.map(({ path, problem }) => `${path === "" ? "it" : path} ${problem}`).join("; ");
  const param = first === undefined || first.path === "" ? {} : { param: first.path };
  return new ClawError("E_CONFIG", `${what} is not valid: ${list}.`, param);
}

interface Place {
  readonly names: readonly NamedOption[];
  /** What stands before a name: `log.`, `api_keys[1].`. */
  readonly base: string;
  readonly faults: Fault[];
}

/** Values by their settings; `section` is the dotted beginning of the names looked for. */
function readObject(
  given: Readonly<Record<string, unknown>>,
  place: Place,
  section = "",
): Record<string, unknown> {
  const { names, base, faults } = place;
  let values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (faults.length >= FAULTS_MAX) break;
    const name = `${section}${key}`;
    const path = `${base}${name}`;
    const found = names.find(([, option]) => option.name === name);
    if (found !== undefined) {
      values[found[0]] = readJson(value, { option: found[1], path, faults });
    } else if (!names.some(([, option]) => option.name?.startsWith(`${name}.`))) {
      faults.push({ path, problem: `is not known${suggestion(name, names)}` });
    } else if (isObject(value)) {
      values = { ...values, ...readObject(value, place, `${name}.`) };
    } else {
      faults.push({ path, problem: `${describe(value)}; an object was expected` });
    }
  }
  return values;
}

interface Field {
  readonly option: Option<unknown>;
  readonly path: string;
  readonly faults: Fault[];
}

function readJson(value: unknown, { option, path, faults }: Field): unknown {
  const { kind, unit } = option;
  const tooLong = kind.type === "text" && typeof value === "string" && value.length > TEXT_LENGTH_MAX;
  if (tooLong || !isOfKind(kind, value)) {
    faults.push({ path, problem: `${describe(value)}; ${expectation(kind, unit)} was expected` });
    return undefined;
  }
  if (kind.type !== "records") return value;
  return (value as readonly unknown[]).map((record, index) => {
    return readRecord(record, kind, { option, path: `${path}[${index}]`, faults });
  });
}

function readRecord(
  record: unknown,
  { fields, required, oneOf }: Option<unknown>["kind"] & { readonly type: "records" },
  { path, faults }: Field,
): Record<string, unknown> {
  if (!isObject(record)) {
    faults.push({ path, problem: `${describe(record)}; an object was expected` });
    return {};
  }
  for (const name of required) {
    if (!Object.hasOwn(record, name)) faults.push({ path: `${path}.${name}`, problem: "is missing" });
  }
  const chosen = oneOf.filter((name) => Object.hasOwn(record, name));
  if (oneOf.length > 0 && chosen.length !== 1) {
    faults.push({
      path,
      problem: `has ${chosen.join(" and ") || "none"} of ${oneOf.join(" and ")}; one was expected`,
    });
  }
  const usual = Object.fromEntries(fields.map(([setting, option]) => [setting, option.default]));
  return { ...usual, ...readObject(record, { names: fields, base: `${path}.`, faults }) };
}

/** The name that was probably meant: one that differs in little, or is spelled as a flag or a setting is. */
function suggestion(name: string, names: readonly NamedOption[]): string {
  const plain = (text = ""): string => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const same = names.find(([setting, { flag, name: known }]) =>
    [setting, flag, known].some((spelling) => plain(spelling) === plain(name)),
  );
  const known = names.flatMap(([, option]) => option.name ?? []);
  const begun = name.length >= BEGINNING_MIN ? known.find((other) => other.startsWith(name)) : undefined;
  const meant = same?.[1].name ?? closest(name, known) ?? begun;
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}

/** A value as a sentence shows it. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `is a list of ${value.length}`;
  if (isObject(value)) return "is an object";
  const text = JSON.stringify(value);
  return `is ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
