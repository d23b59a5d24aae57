/** The options of `claw serve`. */

import { ClawError } from "../base/mod.ts";
import { type EngineOptions, engineOptions, type ModelOptions, modelOptions } from "./engine-options.ts";
import { PORT_DEFAULT, PORT_MAX } from "./limits.ts";
import { numberOption, type OptionTable, switchOption, textOption } from "./option.ts";

export interface ServeOptions extends ModelOptions, EngineOptions {
  readonly host: string;
  readonly port: number;
  readonly noAuth: boolean;
  readonly verbose: boolean;
}

export const serveOptions: OptionTable<ServeOptions> = {
  ...modelOptions,
  host: textOption({
    flag: "host",
    placeholder: "ADDRESS",
    meaning: "the address to listen on",
    default: "127.0.0.1",
  }),
  port: numberOption({
    flag: "port",
    meaning: "the TCP port; 0 takes any free one",
    range: [0, PORT_MAX],
    default: PORT_DEFAULT,
  }),
  ...engineOptions,
  noAuth: switchOption("no-auth", "answer without an API key; only on a loopback address"),
  verbose: switchOption("verbose", "log requests and progress to standard error"),
};

/** Whether only this machine can reach `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** Refuses to leave a server open to others. Errors: E_HOST. */
export function checkExposure({ host, noAuth }: Pick<ServeOptions, "host" | "noAuth">): void {
  if (!noAuth || isLoopback(host)) return;
  throw new ClawError("E_HOST", `Without authentication the server does not listen on ${host}.`);
}
