/**
 * A node of its own: opens a link as its argument says, then does what lines on its standard input ask and answers each with a
 * line of JSON.
 */

import { createInterface } from "node:readline";
import {
  connectPeer,
  type LinkSettings,
  type PeerLink,
  PeerListener,
} from "../../../src/cluster/link/mod.ts";
import type { LinkAddress } from "../../../src/kernels/mod.ts";
import { messageOf, PATIENCE } from "./messages.ts";

interface Task {
  readonly address: LinkAddress;
  readonly listen: boolean;
  readonly settings: LinkSettings & { readonly secret: readonly number[] };
}

const task = JSON.parse(process.argv[2] ?? "") as Task;
const settings = { ...task.settings, secret: Uint8Array.from(task.settings.secret) };

async function listen(): Promise<PeerLink> {
  const { promise, resolve, reject } = Promise.withResolvers<PeerLink>();
  const listener = new PeerListener(task.address, {
    settings: () => settings,
    onLink: resolve,
    onRefused: reject,
  });
  answer({ address: listener.address });
  return promise.finally(() => listener.close());
}

async function run({ link }: PeerLink, line: string): Promise<unknown> {
  const [verb = "", ...rest] = line.split(" ");
  const [size = 0, count = 1] = rest.map(Number);
  const into = new Uint8Array(size);
  for (let index = 0; index < count; index++) {
    if (verb === "echo") await link.send(into.subarray(0, await link.receive(into, PATIENCE)), PATIENCE);
    else if (verb === "send") await link.send(messageOf(size, index), PATIENCE);
    else if (verb === "exchange") await link.exchange(messageOf(size, index), into, PATIENCE);
    else if (verb === "receive") await link.receive(into, PATIENCE);
  }
  if (verb === "close") await link.close();
  return { done: verb };
}

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function answerError(error: unknown): void {
  const { code, message } = error as { code?: string; message: string };
  answer({ code, message });
}

try {
  const peer = await (task.listen ? listen() : connectPeer(task.address, settings));
  answer({ peer: peer.peer });
  for await (const line of createInterface({ input: process.stdin })) {
    // What takes long says that it began.
    if (line.startsWith("begin ")) {
      answer({ begun: true });
      await run(peer, line.slice("begin ".length)).then(answer, answerError);
    } else await run(peer, line).then(answer, answerError);
  }
} catch (error) {
  answerError(error);
}
