/** `claw node rank`: one rank of a placement. The process that runs the engine starts it. */

import { ClawError } from "../../base/mod.ts";
import { RANKS_MAX, runNode } from "../../cluster/mod.ts";
import { numberOption, textOption } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";

interface NodeSettings {
  readonly join: string | undefined;
  readonly rank: number;
}

export const nodeRank: Command = defineCommand<NodeSettings>({
  name: "node rank",
  summary: "Runs one rank of a placement; started by the process that runs the engine.",
  options: {
    join: textOption({
      flag: "join",
      placeholder: "FOLDER",
      meaning: "where the sockets of that process and of the other ranks are",
      default: undefined,
    }),
    rank: numberOption({
      flag: "rank",
      meaning: "which rank",
      range: [0, RANKS_MAX],
      default: 0,
    }),
  },
  run: ({ join, rank }) => {
    if (join === undefined) throw new ClawError("E_USAGE", "claw node rank needs --join FOLDER.");
    return runNode(join, rank);
  },
});
