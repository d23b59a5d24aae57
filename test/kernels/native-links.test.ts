/** Exchanges by compute threads: what arrives, what is refused, and how a step ends that waits for a rank which is lost. */

import { describe, expect, test } from "vitest";
import {
  type Device,
  type Executable,
  type Link,
  linkPair,
  nativeAvailable,
  OP,
  openNativeDevice,
  type Program,
  type RankLink,
} from "../../src/kernels/mod.ts";
import { f32Buffer } from "./cases.ts";

const without = nativeAvailable() ? "" : " (skipped: no native core was built)";
const limits = { rows: 4, outputs: 1, pageEntries: 1 };
const WIDTH = 8;

/** Sends columns 1 to 3 and 6 of buffer 0 for tokens 5 to 8, and receives as many into buffer 1. */
const swap: Program = {
  buffers: [f32Buffer(WIDTH), f32Buffer(WIDTH)],
  tape: Int32Array.from([
    ...[OP.SEND, 0, 0, 5, 9, 2, 1, 3, 6, 1],
    ...[OP.RECEIVE, 1, 0, 5, 9, 2, 0, 1, 2, 3],
    ...[OP.ADD, 0, 1, 1, OP.END],
  ]),
  logits: undefined,
};

function rankLink(link: Link): RankLink {
  const unused = (): never => {
    throw new Error("The executable moves its messages itself.");
  };
  return { native: link.native, send: unused, receive: unused, receiveSome: unused, close: () => link.end() };
}

function prepare(device: Device, link: Link): Executable {
  const executable = device.prepare(swap, limits, [rankLink(link)]);
  executable.step.tokens.set([5, 4, 8, 9]);
  return executable;
}

interface Waiting {
  readonly device: Device;
  readonly own: Link;
  readonly peer: Link;
  readonly step: Promise<void>;
}

/** A step that waits for a peer which is not computing. */
async function waiting(threads: number): Promise<Waiting> {
  const device = openNativeDevice({ threads, pinThreads: "never" });
  const [own, peer] = linkPair();
  const step = prepare(device, own).execute(4, 0);
  let ended = false;
  step.then(
    () => {
      ended = true;
    },
    () => {
      ended = true;
    },
  );
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(ended).toBe(false);
  return { device, own, peer, step };
}

describe.skipIf(!nativeAvailable())(`exchanges within a step${without}`, () => {
  test("bring the columns of the rows that travel, and are counted", async () => {
    const devices = [1, 3].map((threads) => openNativeDevice({ threads, pinThreads: "never" }));
    const links = linkPair();
    const executables = devices.map((device, i) => prepare(device, links[i] as Link));
    const values = (side: number): Float32Array =>
      Float32Array.from({ length: 32 }, (_, i) => 100 * side + i);
    for (let step = 0; step < 50; step++) {
      for (const [side, executable] of executables.entries()) executable.writeBuffer(0, values(side));
      for (const executable of executables) executable.writeBuffer(1, new Float32Array(32));
      await Promise.all(executables.map((executable) => executable.execute(4, 0)));
    }
    for (const [side, executable] of executables.entries()) {
      const from = values(1 - side);
      const expected = new Float32Array(32);
      for (const row of [0, 2]) {
        expected.set([from[row * WIDTH + 1] ?? 0], row * WIDTH);
        expected.set(
          [2, 3, 6].map((column) => from[row * WIDTH + column] ?? 0),
          row * WIDTH + 2,
        );
      }
      expect(executable.readBuffer(1, 4)).toEqual(expected);
      // The sum after it sees what came.
      expect(executable.readBuffer(0, 4)).toEqual(expected.map((value) => 2 * value));
      expect(executable.exchangeCounts?.()).toMatchObject({
        exchanges: 50,
        messages: 50,
        bytes: 50 * 2 * 4 * 4,
      });
    }
    for (const device of devices) device.close();
  });

  test("without rows that travel send nothing", async () => {
    const device = openNativeDevice({ threads: 1 });
    const executable = prepare(device, linkPair()[0]);
    executable.step.tokens.fill(0);
    await executable.execute(4, 0);
    expect(executable.exchangeCounts?.()).toMatchObject({ exchanges: 1, messages: 0, bytes: 0 });
    device.close();
  });

  test.each([1, 3])("end when the peer ends, with %d threads", async (threads) => {
    const { device, peer, step } = await waiting(threads);
    peer.end();
    await expect(step).rejects.toMatchObject({ code: "E_LINK" });
    device.close();
  });

  test.each([1, 3])("end when their own link is ended, with %d threads", async (threads) => {
    const { device, own, peer, step } = await waiting(threads);
    own.end();
    await expect(step).rejects.toMatchObject({ code: "E_LINK" });
    // The peer, which never computed, hears of it.
    await expect(peer.queueReceive(new Uint8Array(32))).resolves.toBe(32);
    await expect(peer.queueReceive(new Uint8Array(32))).rejects.toMatchObject({ code: "E_LINK" });
    device.close();
  });

  test.each([1, 3])("end when their device is closed, with %d threads", async (threads) => {
    const { device, step } = await waiting(threads);
    device.close();
    await expect(step).rejects.toMatchObject({ code: "E_LINK" });
  });

  test("take no message of another length", async () => {
    for (const [bytes, code] of [
      [28, "E_LINK"],
      [36, "E_LINK_PEER"],
    ] as const) {
      const { device, peer, step } = await waiting(1);
      await peer.queueSend(new Uint8Array(bytes));
      await expect(step).rejects.toMatchObject({ code });
      await peer.queueReceive(new Uint8Array(32));
      await expect(peer.queueReceive(new Uint8Array(32))).rejects.toMatchObject({
        code: expect.stringContaining("E_LINK"),
      });
      device.close();
    }
  });

  test("fail at once over a link that has ended, and other steps go on", async () => {
    const device = openNativeDevice({ threads: 2 });
    const [own] = linkPair();
    const executable = prepare(device, own);
    const alone = device.prepare({ ...swap, tape: Int32Array.of(OP.ADD, 0, 0, 0, OP.END) }, limits);
    own.end();
    for (let i = 0; i < 3; i++) {
      await expect(executable.execute(4, 0)).rejects.toMatchObject({ code: "E_LINK" });
      await alone.execute(4, 0);
    }
    device.close();
  });

  test("need links that exist, that are native, and that nothing else has taken", async () => {
    const device = openNativeDevice({ threads: 1 });
    const [own, other] = linkPair();
    expect(() => device.prepare(swap, limits)).toThrow("names link 0 of 0");
    const foreign: RankLink = {
      send: async () => {},
      receive: async () => {},
      receiveSome: async () => 0,
      close: () => {},
    };
    expect(() => device.prepare(swap, limits, [foreign])).toThrow("native links alone");
    await other.queueSend(new Uint8Array(1));
    expect(() => prepare(device, other)).toThrow("still moving");
    const executable = prepare(device, own);
    await own.queueReceive(new Uint8Array(1));
    await expect(executable.execute(4, 0)).rejects.toThrow("still moving");
    const many = { ...limits, rows: 1 << 20 };
    const wide: Program = {
      ...swap,
      buffers: [f32Buffer(32)],
      tape: Int32Array.of(OP.SEND, 0, 0, 0, 9, 1, 0, 32, OP.END),
    };
    expect(() => device.prepare(wide, many, [rankLink(linkPair()[0])])).toThrow("Use fewer rows");
    device.close();
  });
});
