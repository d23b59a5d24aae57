/** I/O: reads standard input. `claw node rank`: one rank of a placement. */

import { fetchLine, openSlices, runNode } from "../../cluster/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { note } from "../terminal.ts";

export const nodeRank: Command = defineCommand({
  name: "node rank",
  summary: "Runs one rank of a placement; whoever starts it says on standard input which.",
  options: {},
  run: async () => {
    let terms = "";
    for await (const part of process.stdin.setEncoding("utf8")) terms += part;
    // A terminal and a service manager tell every process to end; this one ends with the engine's, which may still answer.
    process.on("SIGINT", () => {}).on("SIGTERM", () => {});
    return runNode(terms, {
      onNote: note,
      onFetch: (progress) => void process.stdout.write(fetchLine(progress)),
      openSlices: (asker) => (peer, root) => openSlices(peer.address, asker, root),
    });
  },
});
