/** What a chain of blocks allows, in plain TypeScript: no Datalog, no sets but arrays. */

import type { Operation } from "../../src/capability/operation.ts";
import type { Restrictions, Rights } from "../../src/capability/rights.ts";

const within = (asked: readonly string[], granted: readonly string[]): boolean =>
  granted.includes("*") || asked.every((name) => granted.includes(name));

function granted(rights: Rights, operation: Operation): boolean {
  const { inference = [], scopes = [], sql = [], connect = [], files = [], syscalls = [] } = rights;
  switch (operation.kind) {
    case "inference":
      return inference.some(
        ({ endpoints, models, adapters, tools }) =>
          within([operation.endpoint], endpoints) &&
          (models.includes("*") || operation.models.some((model) => models.includes(model))) &&
          within(operation.adapters, adapters) &&
          within(operation.tools, tools),
      );
    case "list":
      return inference.some(({ endpoints }) => within([operation.endpoint], endpoints));
    case "metrics":
    case "admin":
      return scopes.includes(operation.kind);
    case "sql":
      return sql.some(
        ({ databases, verbs, tables, columns }) =>
          databases.includes(operation.database) &&
          verbs.includes(operation.verb) &&
          tables.includes(operation.table) &&
          within(operation.columns, columns),
      );
    case "connect":
      return connect.some(
        ({ protocols, hosts, ports }) =>
          protocols.includes(operation.protocol) &&
          hosts.includes(operation.host) &&
          ports.includes(operation.port),
      );
    case "file":
      return files.some(
        ({ modes, paths }) =>
          modes.includes(operation.mode) &&
          paths.some((path) => operation.path === path || operation.path.startsWith(`${path}/`)),
      );
    case "syscall":
      return syscalls.includes(operation.name);
  }
}

function passes(restrictions: Restrictions, operation: Operation, now: number): boolean {
  const { models, endpoints, adapters, tools, expires, notBefore, sandbox } = restrictions;
  if (expires !== undefined && now >= expires) return false;
  if (notBefore !== undefined && now < notBefore) return false;
  if (endpoints !== undefined && !("endpoint" in operation && endpoints.includes(operation.endpoint)))
    return false;
  const sandboxed = ["sql", "connect", "file", "syscall"].includes(operation.kind);
  if (sandbox !== undefined && sandboxed && !granted({ tenant: "", ...sandbox }, operation)) return false;
  if (operation.kind === "list") return true;
  const ofInference = [models, adapters, tools].some((names) => names !== undefined);
  if (operation.kind !== "inference") return !ofInference;
  const all = (asked: readonly string[], names: readonly string[] | undefined): boolean =>
    names === undefined || asked.every((name) => names.includes(name));
  return (
    (models === undefined || operation.models.some((model) => models.includes(model))) &&
    all(operation.adapters, adapters) &&
    all(operation.tools, tools)
  );
}

export interface Asked {
  readonly operation: Operation;
  readonly now: number;
}

/** Whether `rights`, narrowed by all of `chain`, allow an operation. */
export function allows(rights: Rights, chain: readonly Restrictions[], { operation, now }: Asked): boolean {
  return granted(rights, operation) && chain.every((restrictions) => passes(restrictions, operation, now));
}
