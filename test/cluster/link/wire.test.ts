/** What somebody on the network between two nodes can do: read nothing, and change nothing without being noticed. */

import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { connectPeer } from "../../../src/cluster/link/mod.ts";
import { nativeAvailable } from "../../../src/kernels/mod.ts";
import { PATIENCE } from "./messages.ts";
import { Nodes, settingsOf, until } from "./nodes.ts";
import { type Change, Wire } from "./wire.ts";

const native = nativeAvailable();
const without = native ? "" : " (skipped: the native core is not built)";
const SAID = "The words of a confidential prompt.";

const flip =
  (place: (frame: Buffer) => number): Change =>
  (frame) => {
    const altered = Buffer.from(frame);
    const at = place(frame);
    altered[at] = (altered[at] ?? 0) ^ 1;
    return [altered];
  };

/** Each with why the reader ends the link. The handshake's proof is the first frame of data, SAID the second. */
const attacks: readonly { readonly what: string; readonly change: Change; readonly reason: RegExp }[] = [
  { what: "a bit of a payload", change: flip(() => 40), reason: /not sealed with the link's key/ },
  {
    what: "a bit of a tag",
    change: flip((frame) => frame.length - 1),
    reason: /not sealed with the link's key/,
  },
  { what: "the epoch", change: flip(() => 8), reason: /another epoch/ },
  { what: "the version", change: flip(() => 4), reason: /another version/ },
  { what: "the length", change: flip(() => 26), reason: /length is beyond|was not sealed/ },
  { what: "the sequence", change: flip(() => 16), reason: /out of order/ },
  { what: "a frame twice", change: (frame) => [frame, frame], reason: /out of order/ },
  { what: "a frame left out", change: () => [], reason: /out of order/ },
];

describe.skipIf(!native)(`somebody between two nodes${without}`, () => {
  let nodes = new Nodes();
  let wire: Wire | undefined;
  afterEach(async () => {
    wire?.close();
    await nodes.close();
    nodes = new Nodes();
  });

  test.each(attacks)("$what", async ({ change, reason }) => {
    const address = nodes.listen("tcp");
    wire = await Wire.open(address, 1, change);
    const linked = nodes.next();
    const { link } = await connectPeer(wire.address, settingsOf("far"));
    const near = await linked;
    const into = new Uint8Array(1000);
    const receive = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) await near.link.receive(into, PATIENCE);
    };
    const received = receive();
    received.catch(() => {}); // it may fail before it is looked at below
    for (let i = 0; i < 3; i++) await link.send(Buffer.from(SAID), PATIENCE).catch(() => {});
    await expect(received).rejects.toMatchObject({
      code: "E_LINK_PEER",
      message: expect.stringMatching(reason),
    });
    expect(wire.changed).toBe(1);
    await link.close();
  });

  test("reads no word of it", async () => {
    const address = nodes.listen("tcp");
    wire = await Wire.open(address, -2, (frame) => [frame]);
    const linked = nodes.next();
    const { link } = await connectPeer(wire.address, settingsOf("far"));
    const near = await linked;
    const into = new Uint8Array(SAID.length);
    await link.send(Buffer.from(SAID), PATIENCE);
    await near.link.receive(into, PATIENCE);
    expect(Buffer.from(into).toString()).toBe(SAID);
    await near.link.send(into, PATIENCE);
    await link.receive(into, PATIENCE);
    const { passed } = wire;
    expect(passed.length).toBeGreaterThan(2 * SAID.length);
    for (const word of [SAID, "far", "epoch"]) expect(passed.includes(word), word).toBe(false);
    await link.close();
  });

  test("garbage instead of a handshake is refused with its reason, and the next node is served", async () => {
    const address = nodes.listen("tcp");
    for (const bytes of [
      Buffer.alloc(100, 7),
      Buffer.from("GET / HTTP/1.1\r\nHost: a-node.example\r\n\r\n"),
    ]) {
      const before = nodes.refused.length;
      const socket = connect(address.port, address.host);
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.write(bytes);
      await until(() => nodes.refused.length > before);
      socket.destroy();
    }
    const refusal = { code: "E_LINK_PEER", message: expect.stringContaining("not a frame") };
    expect(nodes.refused).toMatchObject([refusal, refusal]);
    const linked = nodes.next();
    const { link } = await connectPeer(address, settingsOf("far"));
    expect((await linked).peer).toBe("far");
    await link.close();
  });
});
