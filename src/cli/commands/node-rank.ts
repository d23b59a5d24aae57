/** I/O: reads standard input. `claw node rank`: one rank of a placement. */

import { runNode } from "../../cluster/mod.ts";
import { type Command, defineCommand } from "../command.ts";

export const nodeRank: Command = defineCommand({
  name: "node rank",
  summary: "Runs one rank of a placement; whoever starts it says on standard input which.",
  options: {},
  run: async () => {
    let terms = "";
    for await (const part of process.stdin.setEncoding("utf8")) terms += part;
    return runNode(terms);
  },
});
