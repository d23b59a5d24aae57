/** I/O: the thread of a server that hands out parts of its model: it takes links as nodes do, and does nothing else for them. */

import { parentPort, workerData } from "node:worker_threads";
import { asClawError, assert, ClawError } from "../../base/mod.ts";
import { type PeerLink, PeerListener } from "../link/mod.ts";
import { type FromSliceThread, SliceHost, type SliceThreadTask } from "../slices/mod.ts";
import { receiveRequest, requestSettings, sendAnswer } from "./request.ts";

assert(parentPort !== null, "The thread that hands out models is started as a worker.");
const port = parentPort;
const { host, name, secret, model } = workerData as SliceThreadTask;
const slices = new SliceHost([model]);

function say(message: FromSliceThread): void {
  port.postMessage(message);
}

function refused(reason: ClawError): void {
  say({ kind: "refused", why: `Refused a link for parts of the model: ${reason.message}` });
}

async function serve(peer: PeerLink): Promise<void> {
  const { link } = peer;
  try {
    const request = await receiveRequest(link);
    if (request === undefined) return;
    if (request.kind !== "slices") {
      throw new ClawError("E_NODE", "This server hands out parts of its model, and does nothing else.");
    }
    slices.check(request.root);
    await sendAnswer(link);
    await slices.serve(peer, request.root);
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

port.on("message", async () => {
  await listener.close();
  await slices.close();
  port.close();
});
say({ kind: "listening", port: listener.address.port });
