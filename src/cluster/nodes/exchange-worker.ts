/**
 * I/O: the thread of a server that hands out parts of its model and copies of its pages: it takes links as nodes do, and does nothing
 * else for them. While the server stands by it keeps the pages of who holds the lease.
 */

import { parentPort, workerData } from "node:worker_threads";
import { asClawError, assert, ClawError } from "../../base/mod.ts";
import { type PeerLink, PeerListener } from "../link/mod.ts";
import { PageFollower, PageHost } from "../pages/mod.ts";
import { SliceHost } from "../slices/mod.ts";
import type { ExchangeTask, FromExchange, ToExchange } from "./exchange-thread.ts";
import { type NodeRequest, openPages, receiveRequest, requestSettings, sendAnswer } from "./request.ts";

assert(parentPort !== null, "The thread that exchanges files is started as a worker.");
const port = parentPort;
const { host, name, secret, model, copies } = workerData as ExchangeTask;
const slices = new SliceHost(model === undefined ? [] : [model]);
const pages = copies && new PageHost(copies.folder);
const follower =
  copies &&
  new PageFollower({
    ...copies,
    open: ({ address }) => openPages(address, { name, secret }),
    onNote: note,
  });

function say(message: FromExchange): void {
  port.postMessage(message);
}

function note(text: string): void {
  say({ kind: "note", text });
}

function refused(reason: ClawError): void {
  note(`Refused a link for parts of the model or pages: ${reason.message}`);
}

/** What answers on the link from then on. E_NODE where that is not done here. */
function serving(request: NodeRequest): (peer: PeerLink) => Promise<void> {
  if (request.kind === "slices") {
    const { root } = request;
    slices.check(root);
    return (peer) => slices.serve(peer, root);
  }
  if (request.kind !== "pages") {
    throw new ClawError(
      "E_NODE",
      "This server hands out parts of its model, or pages, and does nothing else.",
    );
  }
  if (pages === undefined) throw new ClawError("E_NODE", "This server has no folder for copies of pages.");
  pages.check();
  return (peer) => pages.serve(peer);
}

async function serve(peer: PeerLink): Promise<void> {
  const { link } = peer;
  try {
    const request = await receiveRequest(link);
    if (request === undefined) return;
    const answering = serving(request);
    await sendAnswer(link);
    await answering(peer);
  } catch (error) {
    const problem = asClawError(error);
    refused(problem);
    await sendAnswer(link, problem).catch(() => {});
  } finally {
    say({ kind: "handed out", bytes: slices.handedOut });
    await link.close();
  }
}

const listener = new PeerListener(
  { driver: "tcp", host, port: 0 },
  {
    settings: () => requestSettings({ name, secret }),
    onLink: (peer) => void serve(peer),
    onRefused: refused,
  },
);

port.on("message", async (message: ToExchange) => {
  if (message.kind === "follow") {
    follower?.follow(message.peer);
    return;
  }
  await listener.close();
  await follower?.close();
  pages?.close();
  await slices.close();
  port.close();
});
say({ kind: "listening", port: listener.address.port });
