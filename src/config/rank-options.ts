/** Where a served model is computed: in one process, or by ranks. */

import { DEGREE_MAX, RANKS_COPY_BYTES_DEFAULT } from "./limits.ts";
import { booleanOption, choiceOption, numberOption, type OptionTable, textOption } from "./option.ts";

export interface RankOptions {
  readonly pipelineParallelismDegree: number;
  readonly ranksRunIn: "server" | "processes";
  readonly ranksLink: "shared" | "tcp";
  readonly ranksSpare: boolean;
  readonly ranksCopyBytes: number;
  readonly ranksCopyFolder: string | undefined;
}

export const rankOptions: OptionTable<RankOptions> = {
  pipelineParallelismDegree: numberOption({
    flag: "pipeline-parallelism-degree",
    name: "pipeline_parallelism_degree",
    unit: "stages",
    live: true,
    meaning: "stages of layers that follow one another; the answers are the same",
    range: [1, DEGREE_MAX],
    default: 1,
  }),
  ranksRunIn: choiceOption({
    flag: "ranks-run-in",
    name: "ranks.run_in",
    choices: ["server", "processes"],
    meaning:
      "whether the server's process computes everything, or each shard of each stage is a process that may die and take no answer with it",
    default: "server",
  }),
  ranksLink: choiceOption({
    flag: "ranks-link",
    name: "ranks.link",
    choices: ["shared", "tcp"],
    meaning:
      "what such processes are linked by: memory that they share, or encrypted TCP on the loopback interface, as between hosts; the answers are the same",
    default: "shared",
  }),
  ranksSpare: booleanOption({
    flag: "ranks-spare",
    name: "ranks.spare",
    meaning:
      "whether processes are kept ready, with the weights loaded once more, to take over at once from those that die",
    default: false,
  }),
  ranksCopyBytes: numberOption({
    flag: "ranks-copy-bytes",
    name: "ranks.copy_bytes",
    unit: "bytes",
    meaning:
      "memory of the server, taken as it is needed, for copies of running answers' KV pages, so that little has to be computed again when ranks or nodes are lost; 0 computes everything again",
    range: [0, Number.MAX_SAFE_INTEGER],
    default: RANKS_COPY_BYTES_DEFAULT,
  }),
  ranksCopyFolder: textOption({
    flag: "ranks-copy-folder",
    name: "ranks.copy_folder",
    placeholder: "FOLDER",
    expected: "a path",
    meaning:
      "where these copies lie, too, in files within the same bound: whoever takes over the lease goes on with what is there. Servers of a machine may name the same folder; others keep theirs like the one of the server that answers. This user's alone, and best in memory, as below `/dev/shm`",
    default: undefined,
    otherwise: "nowhere else",
  }),
};
