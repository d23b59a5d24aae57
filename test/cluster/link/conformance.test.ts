/** Every driver keeps the contract of links, between two processes. */

import { afterEach, describe, expect, test as vitest } from "vitest";
import {
  connectLink,
  LINK_MESSAGE_BYTES_MAX,
  type LinkDriver,
  nativeAvailable,
} from "../../../src/kernels/mod.ts";
import { messageOf, PATIENCE } from "./messages.ts";
import { Nodes, settingsOf, until } from "./nodes.ts";
import { ucxMissing } from "./ucx.ts";

const native = nativeAvailable();
const without = native ? "" : " (skipped: the native core is not built)";
const hasty = { spinMicros: 0, limitMs: 100 };
const drivers: readonly (readonly [LinkDriver, string])[] = [
  ["shared", without],
  ["tcp", without],
  ["ucx", ucxMissing()],
];

describe.each(drivers)("link over %s%s", (driver, missing) => {
  const test = vitest.skipIf(missing !== "");
  let nodes = new Nodes();
  afterEach(async () => {
    await nodes.close();
    nodes = new Nodes();
  });

  test("messages of every size arrive whole and in order", async () => {
    const { near, far } = await nodes.pair(driver);
    expect(near.peer).toBe("far");
    const sizes = [0, 1, 31, 32, 33, 32_767, 32_768, 32_769, 65_536, 65_537, 1_000_000];
    const echoed = far.ask(`echo 1000000 ${sizes.length}`);
    for (const [index, size] of sizes.entries()) {
      const message = messageOf(size, index);
      const into = new Uint8Array(size + 5);
      await near.link.send(message, PATIENCE);
      expect(await near.link.receive(into, PATIENCE)).toBe(size);
      expect(Buffer.compare(into.subarray(0, size), message)).toBe(0);
    }
    expect(await echoed).toEqual({ done: "echo" });
    const sent = far.ask("send 5000 200");
    const into = new Uint8Array(5000);
    for (let index = 0; index < 200; index++) {
      await near.link.receive(into, PATIENCE);
      expect(Buffer.compare(into, messageOf(5000, index)), String(index)).toBe(0);
    }
    expect(await sent).toEqual({ done: "send" });
  });

  test("both send the longest message at once", async () => {
    const { near, far } = await nodes.pair(driver);
    const size = LINK_MESSAGE_BYTES_MAX;
    const into = new Uint8Array(size);
    const theirs = far.ask(`exchange ${size}`);
    expect(await near.link.exchange(messageOf(size, 3), into, PATIENCE)).toBe(size);
    expect(await theirs).toEqual({ done: "exchange" });
    expect(Buffer.compare(into, messageOf(size, 0))).toBe(0);
    await expect(near.link.send(new Uint8Array(size + 1), PATIENCE)).rejects.toThrow("more than the agreed");
  });

  test("a sender waits for a peer that does not read", async () => {
    const { near, far } = await nodes.pair(driver);
    const message = messageOf(16_000_000, 1);
    let sent = false;
    const sending = near.link.send(message, PATIENCE).then(() => {
      sent = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(sent).toBe(false);
    expect(await far.ask("receive 16000000")).toEqual({ done: "receive" });
    await sending;
  });

  test("time passes before a message, and the link lives; in its middle, and it ends", async () => {
    const { near, far } = await nodes.pair(driver);
    const into = new Uint8Array(100);
    await expect(near.link.receive(into, hasty)).rejects.toMatchObject({ code: "E_DEADLINE" });
    expect(await far.ask("send 100")).toEqual({ done: "send" });
    expect(await near.link.receive(into, PATIENCE)).toBe(100);
    const large = new Uint8Array(LINK_MESSAGE_BYTES_MAX);
    await expect(near.link.send(large, hasty)).rejects.toMatchObject({ code: "E_DEADLINE" });
    expect(await far.ask(`receive ${large.length}`)).toMatchObject({ code: "E_LINK" });
    await expect(near.link.send(into, PATIENCE)).rejects.toMatchObject({ code: "E_LINK" });
  });

  test("a peer says goodbye", async () => {
    const { near, far } = await nodes.pair(driver);
    await far.ask("send 10");
    await far.ask("close");
    const into = new Uint8Array(10);
    expect(await near.link.receive(into, PATIENCE)).toBe(10);
    await expect(near.link.receive(into, PATIENCE)).rejects.toThrow("the link was closed");
  });

  test("a peer is killed in the middle of a message", async () => {
    const { near, far } = await nodes.pair(driver);
    expect(await far.ask(`begin send ${LINK_MESSAGE_BYTES_MAX}`)).toEqual({ begun: true });
    const into = new Uint8Array(LINK_MESSAGE_BYTES_MAX);
    await new Promise((resolve) => setTimeout(resolve, 300)); // until it finds no more room
    await far.kill();
    await expect(near.link.receive(into, PATIENCE)).rejects.toMatchObject({
      code: "E_LINK",
      message: expect.stringContaining("the peer ended"),
    });
  });

  test("a peer at another epoch is refused, and both are told", async () => {
    const address = nodes.listen(driver);
    const late = nodes.start({ address, settings: settingsOf("late", { epoch: 4 }) });
    expect(await late.answer()).toMatchObject({
      code: "E_LINK_PEER",
      message: expect.stringContaining("Node near is at epoch 5 of the cluster's plan, this node at 4."),
    });
    await until(() => nodes.refused.length > 0);
    expect(nodes.refused).toMatchObject([
      { code: "E_LINK_PEER", message: expect.stringContaining("Node late is at epoch 4") },
    ]);
  });

  test("a peer with another secret is refused, and both are told", async () => {
    const address = nodes.listen(driver);
    const stranger = nodes.start({
      address,
      settings: settingsOf("stranger", { secret: new Uint8Array(32) }),
    });
    expect(await stranger.answer()).toMatchObject({ code: "E_LINK_PEER" });
    await until(() => nodes.refused.length > 0);
    expect(nodes.refused).toMatchObject([
      { code: "E_LINK_PEER", message: expect.stringContaining("secret") },
    ]);
  });

  test("a peer of another version is refused by its number", async () => {
    const address = nodes.listen(driver);
    const link = await connectLink(address, 10_000);
    await link.send(Uint8Array.of(2, 0, ...new Uint8Array(100)), PATIENCE);
    await expect(link.receive(new Uint8Array(1000), PATIENCE)).rejects.toMatchObject({ code: "E_LINK_PEER" });
    await until(() => nodes.refused.length > 0);
    expect(nodes.refused).toMatchObject([
      { code: "E_LINK_PEER", message: expect.stringContaining("version 2 of links, this node 1") },
    ]);
  });

  test("a peer that says nothing holds up nobody and is refused in time", async () => {
    const address = nodes.listen(driver, settingsOf("near", { handshakeMs: 3_000 }));
    const silent = await connectLink(address, 10_000);
    const linked = nodes.next();
    const far = nodes.start({ address });
    expect(await far.answer()).toEqual({ peer: "near" });
    expect((await linked).peer).toBe("far");
    await until(() => nodes.refused.length > 0);
    expect(nodes.refused).toMatchObject([{ code: "E_DEADLINE" }]);
    await silent.close();
  });

  test("nobody listens", async () => {
    const address = nodes.listen(driver);
    await nodes.close();
    nodes = new Nodes();
    await expect(connectLink(address, 1000)).rejects.toMatchObject({ code: "E_LINK" });
  });
});

vitest.skipIf(!native)(`shared memory that the system refuses${without}`, async () => {
  const nodes = new Nodes();
  try {
    const prelude = "trap '' XFSZ; ulimit -f 64;"; // no file may be larger, those in memory included
    const far = nodes.start({ address: nodes.address("shared"), listen: true, prelude });
    const { address } = await far.answer();
    if (address === undefined) throw new Error("The node did not listen.");
    await expect(connectLink(address, 10_000)).rejects.toMatchObject({ code: "E_LINK_PEER" });
    expect(await far.answer()).toMatchObject({
      code: "E_LINK_MEMORY",
      message: expect.stringMatching(/refuses \d+ KiB of shared memory for a link: File too large/),
    });
  } finally {
    await nodes.close();
  }
});
