import { posix } from "node:path";
import { layers, outside } from "./layers.ts";
import { lineOf, type Source } from "./source.ts";

export interface Import {
  /** As written. */
  readonly specifier: string;
  /** The file it names, relative to the repository root; undefined for a package. */
  readonly target: string | undefined;
  readonly line: number;
  readonly typeOnly: boolean;
}

const statement =
  /\b(?:import|export)\b(\s+type\b)?(?:[^;"'()`]*?\bfrom)?\s*(["'])([^"']*)\2|\bimport\s*\(\s*(["'])([^"']*)\4/g;

/** Every import of a file, `export … from`, `import()` and types included. */
export function importsOf({ path, text, code }: Source): Import[] {
  if (!/\.[cm]?[tj]s$/.test(path)) return [];
  return [...code.matchAll(statement)].map((match) => {
    const quoted = match[0].search(/["']/) + match.index + 1;
    const specifier = text.slice(quoted, quoted + (match[3] ?? match[5] ?? "").length);
    const local = specifier.startsWith(".");
    const target = local ? posix.normalize(posix.join(posix.dirname(path), specifier)) : undefined;
    return { specifier, target, line: lineOf(text, match.index), typeOnly: match[1] !== undefined };
  });
}

const isTest = (path: string): boolean => path.startsWith("test/") || path.endsWith(".test.ts");

/** The room of a file in `src/`: its folder there, or its own name where it lies in `src/` itself. */
export function roomOf(path: string): string | undefined {
  return /^src\/([^/]+?)(?:\.ts)?(?:\/|$)/.exec(path)?.[1];
}

/** Imports that go up the layers or out of `src/`, and imports of another folder that bypass its mod.ts. */
export function layering(source: Source): string[] {
  if (isTest(source.path)) return [];
  return importsOf(source).flatMap(({ target, line }) => {
    if (target === undefined) return [];
    const complaint = roomComplaint(source.path, target) ?? doorComplaint(source.path, target);
    return complaint === undefined ? [] : [`line ${line}: ${complaint}`];
  });
}

function roomComplaint(path: string, target: string): string | undefined {
  const from = roomOf(path);
  const to = roomOf(target);
  if (from === undefined || from === to) return undefined;
  if (to === undefined) {
    return outside[from]?.includes(target) ? undefined : `${from} imports ${target}, outside of src/.`;
  }
  const allowed = layers[from]?.includes(to) ?? false;
  return allowed ? undefined : `${from} may not import ${to}; see the table in ARCHITECTURE.md.`;
}

/**
 * A folder is entered through its mod.ts. Inside one room a folder may use single files of the folders around it
 * (a contract, its limits), but not their mod.ts, which may lead back to it.
 */
function doorComplaint(path: string, target: string): string | undefined {
  const from = posix.dirname(path);
  const to = posix.dirname(target);
  if (!target.startsWith("src/") || from === to || to === "src") return undefined;
  const isDoor = posix.basename(target) === "mod.ts";
  const around = from.startsWith(`${to}/`);
  if (around && isDoor) return `imports ${target}, the mod.ts of a folder around its own.`;
  return around || isDoor ? undefined : `imports ${target}; another folder is entered through its mod.ts.`;
}

/** Import cycles between files, types included: each once, as `a -> b -> a`. */
export function cycles(sources: readonly Source[]): string[] {
  const graph = new Map(sources.map((source) => [source.path, localTargets(source)]));
  return cyclesOf(graph);
}

/** Pairs of folders that import each other; a folder and one inside it are not such a pair. */
export function mutualFolders(sources: readonly Source[]): string[] {
  const edges = new Set<string>();
  for (const source of sources) {
    for (const target of isTest(source.path) ? [] : localTargets(source)) {
      edges.add(`${posix.dirname(source.path)} ${posix.dirname(target)}`);
    }
  }
  return [...edges].flatMap((edge) => {
    const [from = "", to = ""] = edge.split(" ");
    const nested = from.startsWith(`${to}/`) || to.startsWith(`${from}/`);
    return from < to && !nested && edges.has(`${to} ${from}`) ? [`${from} and ${to} import each other.`] : [];
  });
}

const localTargets = (source: Source): string[] =>
  importsOf(source).flatMap(({ target }) => (target === undefined ? [] : [target]));

function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const seen = trail.indexOf(path);
    if (seen !== -1) found.push([...trail.slice(seen), path].join(" -> "));
    if (seen !== -1 || done.has(path)) return;
    trail.push(path);
    for (const next of graph.get(path) ?? []) visit(next);
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return found;
}
