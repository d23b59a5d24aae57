/** Messages that are queued: in order, both ways at once, and none forgotten when a link ends. */

import { describe, expect, test } from "vitest";
import { linkPair, nativeAvailable } from "../../../src/kernels/mod.ts";
import { messageOf, PATIENCE } from "./messages.ts";

const without = nativeAvailable() ? "" : " (skipped: the native core is not built)";

describe.skipIf(!nativeAvailable())(`a link's queue${without}`, () => {
  test("messages of both sides arrive in order, whoever is ahead", async () => {
    const links = linkPair();
    const [one, other] = links;
    const sizes = Array.from({ length: 200 }, (_, i) => (i % 40 === 0 ? 1_000_000 : (i * 37) % 5000));
    const into = sizes.map((size) => new Uint8Array(size));
    const back = sizes.map((size) => new Uint8Array(size));
    const received = into.map((bytes) => other.queueReceive(bytes));
    const sent = sizes.map((size, i) => one.queueSend(messageOf(size, i)));
    const sentBack = sizes.map((size, i) => other.queueSend(messageOf(size, i + 7)));
    await Promise.all(sent);
    const receivedBack = back.map((bytes) => one.queueReceive(bytes));
    expect(await Promise.all(received)).toEqual(sizes);
    expect(await Promise.all(receivedBack)).toEqual(sizes);
    await Promise.all(sentBack);
    for (const [i, size] of sizes.entries()) {
      expect(Buffer.compare(into[i] ?? new Uint8Array(), messageOf(size, i)), String(i)).toBe(0);
      expect(Buffer.compare(back[i] ?? new Uint8Array(), messageOf(size, i + 7)), String(i)).toBe(0);
    }
    for (const link of links) link.end();
  });

  test("what waits when a link is ended, or its peer ends it, fails, and so does what comes later", async () => {
    for (const ended of [0, 1]) {
      const [one, other] = linkPair();
      const waiting = Array.from({ length: 3 }, () => one.queueReceive(new Uint8Array(8)));
      const settled = Promise.allSettled(waiting);
      (ended === 0 ? one : other).end();
      for (const { status } of await settled) expect(status).toBe("rejected");
      await expect(one.queueReceive(new Uint8Array(8))).rejects.toMatchObject({ code: "E_LINK" });
      await expect(one.queueSend(new Uint8Array(8))).rejects.toMatchObject({ code: "E_LINK" });
    }
  });

  test("messages that came before the peer ended are not lost", async () => {
    const [one, other] = linkPair();
    for (let i = 0; i < 5; i++) await one.queueSend(messageOf(100, i));
    const into = new Uint8Array(100);
    expect(await other.queueReceive(into)).toBe(100);
    one.end();
    await new Promise((resolve) => setTimeout(resolve, 100)); // the other side looks after its peer meanwhile
    for (let i = 1; i < 5; i++) {
      expect(await other.queueReceive(into)).toBe(100);
      expect(Buffer.compare(into, messageOf(100, i))).toBe(0);
    }
    await expect(other.queueReceive(new Uint8Array(100))).rejects.toMatchObject({ code: "E_LINK" });
  });

  test("a link that is queued serves nothing else", async () => {
    const [one, other] = linkPair();
    await one.queueSend(new Uint8Array(1));
    await expect(one.send(new Uint8Array(1), PATIENCE)).rejects.toMatchObject({ code: "E_INTERNAL" });
    for (const link of [one, other]) link.end();
  });
});
