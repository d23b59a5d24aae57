/** I/O: the command line. Finds the command, runs it, and turns what goes wrong into a line and an exit code. */

import { asClawError, ClawError } from "../base/mod.ts";
import { closest, twoColumns } from "../config/mod.ts";
import { commandNames, loadCommand } from "./commands/mod.ts";
import { leaveWithReader, noteError, print, version } from "./terminal.ts";

async function main(args: readonly string[]): Promise<void> {
  const [first, second] = args;
  if (first === "version" || first === "--version") return print(`${version()}\n`);
  // The longer name first: `bench` would take the second word for its operand.
  const name = [`${first} ${second}`, `${first}`].find((typed) => commandNames.includes(typed));
  if (name !== undefined) {
    const command = await loadCommand(name);
    const help = await command.invoke(args.slice(name.split(" ").length));
    return help === undefined ? undefined : print(help);
  }
  if (first === undefined || first === "--help" || first === "-h" || first === "help")
    return print(await overview());
  const group = commandNames.filter((known) => known.startsWith(`${first} `));
  if (group.length > 0 && (second === "--help" || second === "-h")) {
    const commands = await Promise.all(group.map(loadCommand));
    return print(commands.map(({ help }) => help).join("\n"));
  }
  throw unknownCommand(group.length > 0 ? args.slice(0, 2).join(" ") : first);
}

async function overview(): Promise<string> {
  const commands = await Promise.all(commandNames.map(loadCommand));
  const rows = commands.map(({ name, summary }) => [name, summary] as const);
  const list = twoColumns([...rows, ["version", "Prints the version."]]);
  return `OpenClaw ${version()}: exact inference on your own machine.\n\nUsage: claw COMMAND [options]\n\n${list}\n\nclaw COMMAND --help shows a command's options.\n`;
}

function unknownCommand(typed: string): ClawError {
  const meant = closest(typed, commandNames);
  const hint = meant === undefined ? "." : `; did you mean ${meant}?`;
  return new ClawError("E_USAGE", `There is no command ${typed}${hint}`);
}

/** Runs the command that `args` name; the exit code. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  leaveWithReader();
  try {
    await main(args);
    return 0;
  } catch (thrown) {
    const error = asClawError(thrown);
    noteError(error);
    return error.exitCode;
  }
}
