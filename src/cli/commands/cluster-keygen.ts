/** `claw cluster keygen`: the secret that all nodes of a cluster have. */

import { makeClusterSecret } from "../../cluster/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print } from "../terminal.ts";

export const clusterKeygen: Command = defineCommand<object>({
  name: "cluster keygen",
  summary: "Makes the secret of a cluster, which every node of it has to have.",
  operands: "FILE",
  operandCount: [1, 1],
  options: {},
  run: (_, [path = ""]) => {
    makeClusterSecret(path);
    return print(`The secret is in ${path}. Copy it to every node, for its owner alone (mode 0600).\n`);
  },
});
