/** `claw config`: the options of a server as a JSON Schema, and a file checked against them. */

import { ClawError } from "../../base/mod.ts";
import {
  configSchema,
  configTable,
  faultsError,
  readConfigDocument,
  readDocument,
  serveOptions,
  switchOption,
} from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print, printJson } from "../terminal.ts";

export const configSchemaCommand: Command = defineCommand<{ readonly table: boolean }>({
  name: "config schema",
  summary: "Prints the JSON Schema of the configuration file.",
  options: { table: switchOption("table", "print a table in Markdown instead") },
  run: ({ table }) => {
    if (table) return print(`${configTable(serveOptions)}\n`);
    return print(`${JSON.stringify(configSchema(serveOptions), null, 2)}\n`);
  },
});

export const configCheck: Command = defineCommand<{ readonly json: boolean }>({
  name: "config check",
  operands: "FILE",
  operandCount: [1, 1],
  summary: "Checks a configuration file and names every fault with its place.",
  options: { json: switchOption("json", "print an object") },
  run: async ({ json }, [path = ""]) => {
    const faults = readDocument(serveOptions, readConfigDocument(path)).faults;
    if (json) await printJson({ valid: faults.length === 0, faults });
    else if (faults.length === 0) await print(`${path} is valid.\n`);
    if (faults.length === 0) return;
    // The object says it all already, but scripts also go by the exit code.
    throw json ? new ClawError("E_CONFIG", `${path} is not valid.`) : faultsError(path, faults);
  },
});
