/** I/O: `claw serve`: prints how to reach the server, and stops it on a signal. */

import { resolve } from "node:path";
import { type RunningServer, startServer } from "../../app.ts";
import {
  isLoopback,
  readConfigFile,
  type ServeOptions,
  serveOptions,
  switchOption,
  textOption,
} from "../../config/mod.ts";
import type { EngineInfo } from "../../engine/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel } from "../files.ts";
import { note, print, progressLine, version } from "../terminal.ts";

interface ServeCommandOptions extends ServeOptions {
  readonly config: string | undefined;
  readonly verbose: boolean;
}

export const serve: Command = defineCommand<ServeCommandOptions>({
  name: "serve",
  summary: "Answers OpenAI requests over HTTP.",
  options: {
    config: textOption({
      flag: "config",
      placeholder: "FILE",
      meaning: "a JSON file with the options below and more; flags go before it",
      default: undefined,
    }),
    ...serveOptions,
    verbose: switchOption("verbose", "as --log-level info, and progress also where there is no terminal"),
  },
  run: async ({ config, verbose }, _, given) => {
    const { config: __, verbose: ___, ...flags } = given;
    const file = config === undefined ? undefined : resolve(config);
    const layers = {
      file: file === undefined ? {} : readConfigFile(file),
      flag: verbose ? { logLevel: "info" as const, ...flags } : flags,
    };
    const model = chooseModel(layers.flag.model ?? layers.file.model);
    const progress = progressLine("Loading the model:", verbose);
    const listeners = { version: version(), onProgress: progress, log: process.stderr };
    const server = await startServer(model, { file, layers }, listeners);
    const stopped = stopOnSignal(server);
    if (file !== undefined) process.on("SIGHUP", () => void server.reload());
    if (server.apiKey?.warning !== undefined) note(server.apiKey.warning);
    if (!isLoopback(new URL(server.url).hostname.replace(/^\[(.*)\]$/, "$1")))
      note("Other machines can reach this server, and the connection is not encrypted.");
    try {
      const info = await server.ready;
      progress(1);
      if (info.warning !== undefined) note(info.warning);
      await print(banner(server, info));
    } catch (error) {
      await server.close(0);
      throw error;
    }
    await stopped;
  },
});

/** The first signal lets running requests end; the second one does not wait, nor does a model that still loads. */
function stopOnSignal(server: RunningServer): Promise<void> {
  let loaded = false;
  server.ready.then(
    () => {
      loaded = true;
    },
    () => {},
  );
  return new Promise((resolve) => {
    let stopping = false;
    const stop = (): void => {
      if (stopping) process.exit(1);
      stopping = true;
      if (!loaded) process.exit(0);
      note("Stopping; a second signal stops at once.");
      void server.close().then(resolve);
    };
    process.on("SIGINT", stop).on("SIGTERM", stop);
  });
}

function banner({ url, model, apiKey }: RunningServer, info: EngineInfo): string {
  const threads = `${info.threads} thread${info.threads === 1 ? "" : "s"}`;
  const key = apiKey === undefined ? "no API key is asked for" : `the API key is in ${apiKey.file}`;
  const body = { model, messages: [{ role: "user", content: "Once upon a time" }], max_tokens: 64 };
  const bearer = apiKey === undefined ? [] : [`  -H "Authorization: Bearer $(cat ${quote(apiKey.file)})"`];
  const curl = [
    `curl ${url}/v1/chat/completions`,
    ...bearer,
    `  -H "Content-Type: application/json"`,
    `  -d ${quote(JSON.stringify(body))}`,
  ].join(" \\\n");
  const what = `${info.format} on ${info.device}, ${threads}, ${info.context} tokens of context`;
  return `OpenClaw ${version()} serves ${model} (${what}) at ${url}; ${key}. Try:\n\n${curl}\n\n`;
}

/** For a POSIX shell. */
function quote(text: string): string {
  return /^[\w/.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
