/** What sandboxes may be allowed, in words that are fixed: read from a document, and written as facts or as one check. */

import { ClawError } from "../base/mod.ts";
import { GRANTS_MAX, NAME_CHARS_MAX, NAMES_MAX } from "./limits.ts";
import { isNormalPath, setOf } from "./operation.ts";

/** Every list of names is a set; a grant has to match in all its sets. */
export interface SandboxGrants {
  readonly sql?: readonly {
    readonly databases: readonly string[];
    readonly verbs: readonly string[];
    readonly tables: readonly string[];
    readonly columns: readonly string[];
  }[];
  readonly connect?: readonly {
    readonly protocols: readonly string[];
    readonly hosts: readonly string[];
    readonly ports: readonly number[];
  }[];
  /** Each path opens itself and what lies under it. */
  readonly files?: readonly { readonly modes: readonly string[]; readonly paths: readonly string[] }[];
  readonly syscalls?: readonly string[];
}

/** The facts of a first block that grant. Errors: E_PARAMETER. */
export function grantFacts({ sql = [], connect = [], files = [], syscalls = [] }: SandboxGrants): string[] {
  return [
    ...sql.map(
      ({ databases, verbs, tables, columns }) =>
        `grant_sql(${[databases, verbs, tables, columns].map(setOf).join(", ")})`,
    ),
    ...connect.map(
      ({ protocols, hosts, ports }) =>
        `grant_connect(${setOf(protocols)}, ${setOf(hosts)}, ${portsOf(ports)})`,
    ),
    ...files.map(({ modes, paths }) => `grant_file(${setOf(modes)}, ${setOf(paths)})`),
    ...(syscalls.length === 0 ? [] : [`grant_syscall(${setOf(syscalls)})`]),
  ];
}

/** A check that passes what sandboxes do within one of the grants, and whatever is nothing that sandboxes do. Errors: E_PARAMETER. */
export function grantCheck({ sql = [], connect = [], files = [], syscalls = [] }: SandboxGrants): string {
  const others = 'operation($o), !{"sql", "connect", "file", "syscall"}.contains($o)';
  const within = [
    ...sql.map(({ databases, verbs, tables, columns }) => {
      const [d, v, t, c] = [databases, verbs, tables, columns].map(setOf);
      const all = columns.includes("*") ? "" : `, ${c}.contains($c)`;
      return `sql($d, $v, $t, $c), ${d}.contains($d), ${v}.contains($v), ${t}.contains($t)${all}`;
    }),
    ...connect.map(({ protocols, hosts, ports }) => {
      const [p, h] = [protocols, hosts].map(setOf);
      return `connect($p, $h, $n), ${p}.contains($p), ${h}.contains($h), ${portsOf(ports)}.contains($n)`;
    }),
    ...files.map(({ modes, paths }) => {
      const under = `${setOf(paths)}.any($f -> $p == $f || $p.starts_with($f + "/"))`;
      return `file($m, $p), ${setOf(modes)}.contains($m), ${under}`;
    }),
    ...(syscalls.length === 0 ? [] : [`syscall($s), ${setOf(syscalls)}.contains($s)`]),
  ];
  return `check if ${[others, ...within].join(" or ")}`;
}

function portsOf(ports: readonly number[]): string {
  return ports.length === 0 ? "{,}" : `{${[...new Set(ports)].join(", ")}}`;
}

/** What is wrong with a value, after its place; undefined: nothing. */
type Word = (value: unknown) => string | undefined;

const matching =
  (pattern: RegExp, expected: string): Word =>
  (value) =>
    typeof value === "string" && value.length <= NAME_CHARS_MAX && pattern.test(value)
      ? undefined
      : `is not ${expected}`;

const oneOf = (...words: readonly string[]): Word => {
  return matching(new RegExp(`^(?:${words.join("|")})$`), `one of ${words.join(", ")}`);
};

const name = matching(/^[^\p{Cc}*]+$/u, "a name without control characters and `*`");
const nameOrAll = matching(/^(?:[^\p{Cc}*]+|\*)$/u, "a name without control characters, or `*` for all");
const host = matching(/^[a-z0-9:](?:[a-z0-9.:-]*[a-z0-9])?$/, "a host's name or address in lower case");
const call = matching(/^[a-z_][a-z0-9_]*$/, "the name of a system call");
const port: Word = (value) =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535
    ? undefined
    : "is no port from 1 to 65535";
const path: Word = (value) =>
  typeof value === "string" && value.length > 1 && !value.endsWith("/") && isNormalPath(value)
    ? undefined
    : "is no absolute path in normal form under `/`, without a slash at its end";

/** What each grant has to say, and in which words. */
const vocabulary: Readonly<Record<string, Readonly<Record<string, Word>>>> = {
  sql: {
    databases: name,
    verbs: oneOf("select", "insert", "update", "delete"),
    tables: name,
    columns: nameOrAll,
  },
  connect: { protocols: oneOf("tcp", "udp"), hosts: host, ports: port },
  files: { modes: oneOf("read", "write", "execute"), paths: path },
};

/** Grants as a JSON document says them. Errors: E_PARAMETER, naming the place. */
export function readGrants(document: unknown): SandboxGrants {
  const given = membersOf(document, "grants", ["sql", "connect", "files", "syscalls"]);
  for (const [kind, value] of Object.entries(given)) {
    const words = vocabulary[kind];
    if (words === undefined) {
      checkWords(value, kind, call);
      continue;
    }
    for (const [index, grant] of listOf(value, kind, GRANTS_MAX).entries()) {
      const place = `${kind}[${index}]`;
      const columns = membersOf(grant, place, Object.keys(words));
      for (const [column, word] of Object.entries(words)) {
        checkWords(columns[column], `${place}.${column}`, word);
      }
    }
  }
  return given as SandboxGrants;
}

function checkWords(value: unknown, place: string, word: Word): void {
  for (const [index, given] of listOf(value, place, NAMES_MAX).entries()) {
    const problem = word(given);
    if (problem !== undefined) throw wrong(`${place}[${index}]`, problem);
  }
}

function listOf(value: unknown, place: string, most: number): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0 && value.length <= most) return value;
  throw wrong(place, `is no array of 1 to ${most} members`);
}

function membersOf(
  value: unknown,
  place: string,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject) throw wrong(place, "is no object");
  const odd = Object.keys(value).find((key) => !known.includes(key));
  if (odd === undefined) return value as Readonly<Record<string, unknown>>;
  throw wrong(place, `has ${JSON.stringify(odd.slice(0, 60))}; known are ${known.join(", ")}`);
}

function wrong(place: string, problem: string): ClawError {
  return new ClawError("E_PARAMETER", `The grants for sandboxes cannot be taken: ${place} ${problem}.`);
}
