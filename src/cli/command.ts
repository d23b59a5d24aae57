/** What a command is: a name, its options, and what it does. */

import { ClawError } from "../base/mod.ts";
import { helpText, type OptionTable, parseFlags } from "../config/mod.ts";

export interface CommandSpec<S> {
  /** As typed after `claw`. */
  readonly name: string;
  readonly summary: string;
  /** What it takes beside options, for the usage line. */
  readonly operands?: string;
  /** How many operands it takes. */
  readonly operandCount?: readonly [least: number, most: number];
  readonly options: OptionTable<S>;
  /** `given`: those of the settings that are not there by default. */
  run(settings: S, operands: readonly string[], given: Partial<S>): Promise<void> | void;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  /** Reads the arguments and runs; or resolves to the help when that is asked for. Errors: E_USAGE and its own. */
  invoke(args: readonly string[]): Promise<string | undefined>;
}

export function defineCommand<S>(spec: CommandSpec<S>): Command {
  const { name, summary, options, operands = "" } = spec;
  const [least, most] = spec.operandCount ?? [0, 0];
  const usage = `claw ${name}${operands === "" ? "" : ` ${operands}`}`;
  const help = helpText({ usage, summary, options });
  return {
    name,
    summary,
    help,
    invoke: async (args) => {
      const invocation = parseFlags(options, args);
      if (invocation.help) return help;
      const given = invocation.operands;
      if (given.length > most) {
        throw new ClawError("E_USAGE", `claw ${name} does not take ${JSON.stringify(given[most])}.`);
      }
      if (given.length < least) throw new ClawError("E_USAGE", `claw ${name} needs ${operands}.`);
      await spec.run(invocation.settings, given, invocation.given);
      return undefined;
    },
  };
}
