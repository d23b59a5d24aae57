/** What somebody is about to do, and how Datalog is told: one operation, one fact. */

import { ClawError } from "../base/mod.ts";
import { NAME_CHARS_MAX, NAMES_MAX } from "./limits.ts";

/** One operation; each is authorized by itself. The last four are for sandboxes (docs/reference/capabilities.md). */
export type Operation =
  | {
      readonly kind: "inference";
      readonly endpoint: string;
      /** Everything that names the one model: its id, and its root where it has one. */
      readonly models: readonly string[];
      readonly adapters: readonly string[];
      readonly tools: readonly string[];
    }
  /** Looking at which models there are. */
  | { readonly kind: "list"; readonly endpoint: string }
  | { readonly kind: "metrics" | "admin"; readonly endpoint: string }
  | {
      readonly kind: "sql";
      readonly database: string;
      readonly verb: string;
      readonly table: string;
      /** Every column that the statement touches. */
      readonly columns: readonly string[];
    }
  | { readonly kind: "connect"; readonly protocol: string; readonly host: string; readonly port: number }
  | {
      readonly kind: "file";
      readonly mode: string;
      /** Absolute, without links, `.` and `..`. */
      readonly path: string;
    }
  | { readonly kind: "syscall"; readonly name: string };

/** A text as Datalog writes it. Errors: E_PARAMETER for a text that no name is. */
export function quoted(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
  if (text.length > 0 && text.length <= NAME_CHARS_MAX && !/[\u0000-\u001f\u007f]/.test(text)) {
    return `"${text.replace(/["\\]/g, "\\$&")}"`;
  }
  throw new ClawError("E_PARAMETER", `${JSON.stringify(text.slice(0, 60))} is no name for a capability.`);
}

/** A set as Datalog writes it. Errors: E_PARAMETER. */
export function setOf(names: readonly string[]): string {
  if (names.length > NAMES_MAX) {
    throw new ClawError("E_PARAMETER", `${names.length} names are too many; ${NAMES_MAX} are the most.`);
  }
  return names.length === 0 ? "{,}" : `{${[...new Set(names)].map(quoted).join(", ")}}`;
}

/** The facts that stand for an operation. Errors: E_PARAMETER where it is not in its normal form. */
export function factsOf(operation: Operation): string {
  const { kind } = operation;
  return `operation("${kind}"); ${detailOf(operation)};`;
}

function detailOf(operation: Operation): string {
  switch (operation.kind) {
    case "inference": {
      const { endpoint, models, adapters, tools } = operation;
      const sets = [models, adapters, tools].map(setOf).join(", ");
      return `endpoint(${quoted(endpoint)}); inference(${quoted(endpoint)}, ${sets})`;
    }
    case "list":
    case "metrics":
    case "admin":
      return `endpoint(${quoted(operation.endpoint)})`;
    case "sql": {
      const { database, verb, table, columns } = operation;
      return `sql(${[database, verb, table].map(quoted).join(", ")}, ${setOf(columns)})`;
    }
    case "connect": {
      const { protocol, host, port } = operation;
      return `connect(${quoted(protocol)}, ${quoted(host)}, ${checkedPort(port)})`;
    }
    case "file":
      return `file(${quoted(operation.mode)}, ${quoted(normalPath(operation.path))})`;
    case "syscall":
      return `syscall(${quoted(operation.name)})`;
  }
}

function checkedPort(port: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new ClawError("E_PARAMETER", `${port} is no port.`);
}

function normalPath(path: string): string {
  if (isNormalPath(path)) return path;
  throw new ClawError("E_PARAMETER", `${JSON.stringify(path)} is no absolute path in normal form.`);
}

/** A prefix of a path means something only where no part of it goes back. */
export function isNormalPath(path: string): boolean {
  const parts = path.split("/").slice(1);
  const odd = parts.some(
    (part, index) => part === "." || part === ".." || (part === "" && index < parts.length - 1),
  );
  return path.startsWith("/") && !odd;
}
