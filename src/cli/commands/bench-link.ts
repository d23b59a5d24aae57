/** `claw bench link`: how long messages between two nodes take. */

import { type LinkFigures, MESSAGES_DEFAULT, measureLinks, ROUNDS_DEFAULT } from "../../bench/mod.ts";
import { choiceOption, numberOption, switchOption, twoColumns } from "../../config/mod.ts";
import { type LinkDriver, requireUcx } from "../../kernels/mod.ts";
import { describeMachine } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { figure, formatBytes } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

interface LinkBenchSettings {
  readonly rounds: number;
  readonly messages: number;
  readonly link: LinkDriver | undefined;
  readonly json: boolean;
}

const ROUNDS_MAX = 1000;
const MESSAGES_MAX = 1_000_000;

export const benchLink: Command = defineCommand<LinkBenchSettings>({
  name: "bench link",
  summary: "Measures how long messages between two processes take, over every driver.",
  options: {
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose messages count",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    messages: numberOption({
      flag: "messages",
      meaning: "messages of 8 KiB in a round; of 1 MiB there is one for every 20",
      range: [1, MESSAGES_MAX],
      default: MESSAGES_DEFAULT,
    }),
    link: choiceOption({
      flag: "link",
      meaning: "measure one driver alone",
      choices: ["shared", "tcp", "ucx"],
      default: undefined,
      otherwise: "all that there are here",
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ rounds, messages, link, json }) => {
    if (link === "ucx") requireUcx();
    const report = await measureLinks({ rounds, messages, drivers: link && [link] });
    const machine = describeMachine();
    if (json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    return print(`${twoColumns([["Machine", machine], ...report.links.flatMap(rowsOf)])}\n`);
  },
});

function rowsOf(link: LinkFigures): [string, string][] {
  const name = { shared: "Shared memory", tcp: "TCP, encrypted", ucx: "UCX" }[link.driver];
  const alone = (micros: number, before: string): string =>
    micros === 0 ? "" : `${before} ${figure(micros)} us of TCP alone`;
  return [
    [
      `${name}, ${formatBytes(link.smallBytes)}`,
      `${figure(link.smallMicrosP50)} us one way at the median, ${figure(link.smallMicrosP99)} us at p99${alone(link.smallWireMicros, ", beside")}`,
    ],
    [
      `${name}, ${formatBytes(link.largeBytes)}`,
      `${figure(link.largeMicros)} us, ${figure(link.largeRatio)} times ${figure(link.copyMicros)} us of one memcpy${alone(link.wireMicros, " and")}`,
    ],
  ];
}
