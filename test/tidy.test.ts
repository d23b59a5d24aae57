import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cycles, importsOf, layering, mutualFolders, roomOf } from "./tidy/imports.ts";
import { layers, layerTable } from "./tidy/layers.ts";
import { brokenLinks, errorPage, errorRows, generated } from "./tidy/pages.ts";
import { fileSize, functionSize, parameterCount } from "./tidy/sizes.ts";
import { makeSource, type Rule, type Source } from "./tidy/source.ts";
import { listPaths, readSources, root } from "./tidy/tree.ts";
import { bannedConstructs, bannedWords, impurity, inexactness } from "./tidy/words.ts";

const paths = listPaths();
const sources = readSources(paths);
const complaintsOf = (rule: Rule): string[] =>
  sources.flatMap((source) => rule(source).map((complaint) => `${source.path}: ${complaint}`));

const check = (rule: Rule, path: string, text: string): string[] => rule(makeSource(path, text));
const page = (path: string): string => readFileSync(join(root, path), "utf8");
const lines = (count: number): string => "  work();\n".repeat(count);

test("the tree was read", () => {
  expect(sources.length).toBeGreaterThan(30);
  expect(sources.some(({ path }) => path === "claw")).toBe(true);
  expect(sources.flatMap(importsOf).length).toBeGreaterThan(30);
});

describe("layers", () => {
  test("imports go down the allow-list, and into other folders through mod.ts", () => {
    expect(complaintsOf(layering)).toEqual([]);
  });

  test("the table lists exactly the rooms on disk, each after those it may import", () => {
    const onDisk = new Set(sources.flatMap(({ path }) => (path.endsWith(".ts") ? (roomOf(path) ?? []) : [])));
    expect(Object.keys(layers).sort()).toEqual([...onDisk].sort());
    const order = Object.keys(layers);
    for (const [room, names] of Object.entries(layers)) {
      for (const name of names) expect(order.slice(0, order.indexOf(room)), room).toContain(name);
    }
  });

  test("ARCHITECTURE.md prints the same table", () => {
    expect(page("ARCHITECTURE.md")).toContain(`${layerTable()}\n`);
  });

  test.each([
    ["src/base/a.ts", 'import { b } from "../engine/mod.ts";', "may not import"],
    ["src/base/a.ts", 'export type { B } from "../engine/mod.ts";', "may not import"],
    ["src/base/a.ts", 'const b = await import("../engine/mod.ts");', "may not import"],
    ["src/engine/a.ts", 'import "../../tools/b.mjs";', "outside of src/"],
    ["src/engine/a.ts", 'import {\n  b,\n} from "../base/errors.ts";', "through its mod.ts"],
    ["src/kernels/reference/a.ts", 'import { b } from "../mod.ts";', "a folder around its own"],
    ["bench/a.ts", 'import { b } from "../src/base/errors.ts";', "through its mod.ts"],
  ])("%s: %j is found", (path, text, complaint) => {
    expect(check(layering, path, text)).toEqual([expect.stringContaining(complaint)]);
  });

  test.each([
    ["src/engine/a.ts", 'import { b } from "../base/mod.ts";\nimport z from "zod";'],
    ["src/kernels/reference/a.ts", 'import type { Device } from "../contract.ts";'],
    ["src/kernels/mod.ts", 'export { a } from "./reference/mod.ts";'],
    ["src/base/a.ts", '// import { b } from "../engine/mod.ts";\nconst s = `import "../engine/mod.ts"`;'],
    ["test/base/a.test.ts", 'import { b } from "../../src/base/errors.ts";'],
  ])("%s: %j is allowed", (path, text) => {
    expect(check(layering, path, text)).toEqual([]);
  });
});

describe("cycles", () => {
  const tree = (files: Record<string, string>): Source[] =>
    Object.entries(files).map(([path, text]) => makeSource(path, text));

  test("no file imports itself by way of others, types included", () => {
    expect(cycles(sources)).toEqual([]);
    const planted = tree({
      "src/a/a.ts": 'import type { B } from "./b.ts";',
      "src/a/b.ts": 'import { c } from "./c.ts";',
      "src/a/c.ts": 'export * from "./a.ts";',
    });
    expect(cycles(planted)).toEqual(["src/a/a.ts -> src/a/b.ts -> src/a/c.ts -> src/a/a.ts"]);
  });

  test("no two folders import each other", () => {
    expect(mutualFolders(sources)).toEqual([]);
    const planted = tree({
      "src/a/x/a.ts": 'import { b } from "../y/mod.ts";',
      "src/a/y/b.ts": 'import { a } from "../x/mod.ts";',
      "src/a/a.ts": 'import { b } from "./y/mod.ts";',
      "src/a/y/c.ts": 'import { b } from "../limits.ts";',
    });
    expect(mutualFolders(planted)).toEqual(["src/a/x and src/a/y import each other."]);
  });
});

describe("sizes", () => {
  test("files", () => {
    expect(complaintsOf(fileSize)).toEqual([]);
    expect(check(fileSize, "src/a.ts", lines(500))).toEqual([]);
    expect(check(fileSize, "native/a.cc", lines(501))).toEqual(["has 501 lines; the limit is 500."]);
  });

  test("functions", () => {
    expect(complaintsOf(functionSize)).toEqual([]);
  });

  test.each([
    ["a.ts", "export function work<T>(a: T): Promise<{ b: T }> {", "}"],
    ["a.ts", "const work = async (a: number, b = (1 + 2)): Promise<Map<string, number>> => {", "};"],
    ["a.ts", "class A {\n  static work({ a, b }: Options): () => void {", "}\n}"],
    ["a.ts", "const o = {\n  work(a: string): asserts a is 'b' {", "} };"],
    ["a.ts", "call(1, (work) => {", "});"],
    ["a.ts", `const r = /[/{]\\/\`/.test(s);\nconst t = \`}\${\`{\`}\`;\nfunction work(): void {`, "}"],
    ["a.mjs", "export async function* work() {", "}"],
    ["a.cc", "namespace a {\ntemplate <class T>\nstatic inline T work(T* a, int b) noexcept {", "}\n}"],
    ["a.h", "struct A {\n  auto work() const -> std::vector<int> {", "} };"],
    ["a.cc", "A::A(int b) : b_(b), c_{1} , work(3) {", "}"],
    ["a.cc", "#define OPEN {\nchar c = '{'; int n = 1'000; auto s = R\"x({)x\";\nint work() {", "}"],
  ])("a function of 71 lines in %s: %j is found, one of 70 passes", (path, head, tail) => {
    const of = (count: number): string[] =>
      check(functionSize, path, `${head}\n${lines(count - 2)}${tail}\n`);
    expect(of(70)).toEqual([]);
    expect(of(71)).toEqual([expect.stringMatching(/^line \d+: .* has 71 lines; the limit is 70\.$/)]);
  });

  test("blocks that are no functions pass, and what cannot be read does not", () => {
    const long = lines(100);
    const blocks = [
      `if (a) {\n${long}}`,
      `const a = {\n${long}};`,
      `class A extends B {\n${long}}`,
      `const a = b ? f(1) : {\n${long}};`,
    ];
    for (const text of blocks) expect(check(functionSize, "a.ts", text)).toEqual([]);
    expect(check(functionSize, "a.test.ts", `describe("a", () => {\n${long}});`)).toEqual([]);
    expect(check(functionSize, "a.ts", "function a() {")).toEqual([expect.stringContaining("do not pair")]);
  });

  test("parameters", () => {
    expect(complaintsOf(parameterCount)).toEqual([]);
    const accepted = [
      "function f(a: Map<string, number>, { b, c, d }: Options, ...rest: [number, string]): void {}",
      "call(a, b, c, d);\nconst f = (a: (x: number, y: number) => void, b: B, c = [1, 2]): void => {};",
      "const a = b ? f(1, 2, 3, 4) : { c };",
    ];
    for (const text of accepted) expect(check(parameterCount, "a.ts", text)).toEqual([]);
    const refused = ["function f(a: A, b: B, c: C, d: D): void {}", "const f = (a, b, c, d = 1) => (a);"];
    for (const text of refused) expect(check(parameterCount, "a.ts", text)).toHaveLength(1);
  });
});

describe("words", () => {
  test("no banned words in any file", () => {
    expect(complaintsOf(bannedWords)).toEqual([]);
  });

  test.each([
    `// ${"TO"}DO later`,
    `/* ${"X"}XX */`,
    `${"Co-Authored"}-By: someone`,
    `const path = "/${"work"}/x";`,
    `see /${"home"}/someone/x`,
    `https://registry.${"npmjs"}.org/x`,
    `get it from deb.${"debian"}.org`,
  ])("%j is found", (text) => {
    expect(check(bannedWords, "docs/a.md", text)).toHaveLength(1);
  });

  test("words that only look alike pass", () => {
    expect(check(bannedWords, "docs/a.md", "src/homework/a, ~/work/x, mastodon, hackney, Debian")).toEqual(
      [],
    );
  });
});

describe("purity", () => {
  test("only files that declare I/O touch the machine", () => {
    expect(complaintsOf(impurity)).toEqual([]);
  });

  test.each([
    "const t = Date.now();",
    "const t = new Date();",
    "const r = Math.random();",
    "setTimeout(work, 1);",
    "const e = process.env;",
    "console.log(1);",
    "await fetch(url);",
    'import { readFileSync } from "node:fs";',
    'import { createServer } from "node:http";',
    'import { Worker } from "node:worker_threads";',
    `const s = \`\${Date.now()}\`;`,
  ])("%j is found, unless the file declares I/O", (text) => {
    expect(check(impurity, "src/engine/a.ts", `/** Pure. */\n${text}`)).toHaveLength(1);
    expect(check(impurity, "src/engine/a.ts", `/** I/O: says so. */\n${text}`)).toEqual([]);
    expect(check(impurity, "test/engine/a.test.ts", text)).toEqual([]);
  });

  test("mentions, types and other objects' methods pass", () => {
    const text =
      '// Date.now\nimport type { Stats } from "node:fs";\nlogger.console.x; "process.env"; api.fetch(1);';
    expect(check(impurity, "src/engine/a.ts", text)).toEqual([]);
  });

  test("rooms that promise bits use only operations with defined bits", () => {
    expect(complaintsOf(inexactness)).toEqual([]);
    const refused = [
      "Math.exp(1)",
      "Math.log2(8)",
      "Math.tanh(1)",
      "a ** 2",
      "2 ** a",
      "12 ** 2",
      "const { pow } = Math;",
    ];
    for (const text of refused) {
      expect(check(inexactness, "src/kernels/reference/a.ts", text), text).toHaveLength(1);
      expect(check(inexactness, "src/server/a.ts", text), text).toEqual([]);
    }
    expect(check(inexactness, "src/tensor/a.ts", "/** a ** b */\nMath.sqrt(2 ** -24); // Math.exp")).toEqual(
      [],
    );
  });

  test("no default exports, enums or any", () => {
    expect(complaintsOf(bannedConstructs)).toEqual([]);
    const refused = ["export default 1;", "enum A { b }", "let a: any;", "const a = b as any;"];
    for (const text of refused) expect(check(bannedConstructs, "src/a.ts", text), text).toHaveLength(1);
    expect(check(bannedConstructs, "src/a.ts", "const a = `enum B { c }`; // : any")).toEqual([]);
  });
});

describe("pages", () => {
  test("docs/reference/errors.md lists every error as the code has it", () => {
    const path = "docs/reference/errors.md";
    expect(errorPage(makeSource(path, page(path)))).toEqual([]);
    const [first = "", ...rest] = errorRows();
    const altered = [first.replace(/\d{3}/, "299"), ...rest].join("\n");
    expect(errorPage(makeSource(path, altered))).toHaveLength(2);
  });

  test("links in Markdown lead somewhere", () => {
    const exists = (path: string): boolean => existsSync(join(root, path));
    expect(complaintsOf((source) => brokenLinks(source, exists))).toEqual([]);
    const text = "[a](../b.md) [c](d.md#e) [f](https://g.example/h) [i](#j) `[k](l)`\n```\n[m](n)\n```\n";
    const only = (path: string): boolean => path === "b.md";
    expect(brokenLinks(makeSource("docs/a.md", text), only)).toEqual([
      "line 1: the link to d.md#e leads nowhere.",
    ]);
  });

  test("nothing built, binary or huge is committed", () => {
    const found = paths.flatMap((path) =>
      generated(path, statSync(join(root, path)).size).map((c) => `${path}: ${c}`),
    );
    expect(found).toEqual([]);
    expect(generated("native/a.node", 1)).toHaveLength(1);
    expect(generated("a.gguf", 1)).toHaveLength(1);
    expect(generated("docs/a.txt", (1 << 20) + 1)).toHaveLength(1);
    expect(generated("models/a.gguf", 1 << 24)).toEqual([]);
  });
});
