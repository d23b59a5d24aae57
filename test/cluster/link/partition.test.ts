/** A network that falls silent between two hosts, and a peer that only looks so. Needs root, for network namespaces. */

import { spawnSync } from "node:child_process";
import { afterEach, describe, expect, test } from "vitest";
import { nativeAvailable } from "../../../src/kernels/mod.ts";
import { type NodeProcess, Nodes } from "./nodes.ts";

const names = [`claw-a-${process.pid}`, `claw-b-${process.pid}`] as const;
const [first, second] = names;
const ip = (...words: readonly string[]): boolean => spawnSync("ip", words).status === 0;

/** Two hosts joined by a wire. */
function begin(): boolean {
  return (
    names.every((name) => ip("netns", "add", name)) &&
    ip("link", "add", "wire", "netns", first, "type", "veth", "peer", "name", "wire", "netns", second) &&
    names.every(
      (name, index) =>
        ip("-n", name, "addr", "add", `10.0.0.${index + 1}/24`, "dev", "wire") &&
        ip("-n", name, "link", "set", "wire", "up"),
    )
  );
}

function end(): void {
  for (const name of names) ip("netns", "del", name);
}

const possible = begin();
end();
const without = nativeAvailable()
  ? possible
    ? ""
    : " (skipped: no network namespaces here; they need root and iproute2)"
  : " (skipped: the native core is not built)";
/** kSilenceMost of native/link/socket.h. */
const SILENCE_MS = 5_000;

describe.skipIf(without !== "")(`links over a network that is cut${without}`, () => {
  let nodes = new Nodes();
  afterEach(async () => {
    await nodes.close();
    nodes = new Nodes();
    end();
  });

  const prelude = (name: string): string => `exec ip netns exec ${name} "$0" "$1" "$2";`;

  async function pair(): Promise<readonly [NodeProcess, NodeProcess]> {
    const listening = nodes.start({
      address: { driver: "tcp", host: "10.0.0.2", port: 0 },
      listen: true,
      prelude: prelude(second),
    });
    const { address } = await listening.answer();
    if (address === undefined) throw new Error("The node does not listen.");
    const asking = nodes.start({ address, prelude: prelude(first) });
    await Promise.all([asking.answer(), listening.answer()]);
    return [asking, listening];
  }

  test("waiting, sending and in the middle of a stream, both ends give the link up within seconds", async () => {
    expect(begin()).toBe(true);
    const pairs = await Promise.all([pair(), pair(), pair()]);
    const [[waits, waitsToo], [sends, awaits], streams] = pairs;
    const ends = [waits.ask("receive 100"), waitsToo.ask("receive 100"), awaits.ask("receive 100")];
    ends.push(...streams.map((node) => node.ask("exchange 300000 1000000")));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(ip("-n", first, "link", "set", "wire", "down")).toBe(true);
    const cut = performance.now();
    expect(await sends.ask("send 100")).toEqual({ done: "send" }); // the kernel took it
    ends.push(sends.ask("receive 100"));
    for (const answer of await Promise.all(ends)) {
      expect(answer).toMatchObject({
        code: "E_LINK",
        message: expect.stringContaining("connection was lost"),
      });
    }
    expect(ends).toHaveLength(6);
    expect(performance.now() - cut).toBeGreaterThan(SILENCE_MS / 2);
    expect(performance.now() - cut).toBeLessThan(4 * SILENCE_MS); // the kernel's own patience is minutes
  });

  test("a peer that reads nothing for longer than that, or has nothing to say, is no silent network", async () => {
    expect(begin()).toBe(true);
    const [[sends, reads], [asks, computes]] = await Promise.all([pair(), pair()]);
    const sent = sends.ask("send 30000000");
    const received = asks.ask("receive 100");
    await new Promise((resolve) => setTimeout(resolve, SILENCE_MS + 2_500));
    expect(await computes.ask("send 100")).toEqual({ done: "send" });
    expect(await received).toEqual({ done: "receive" });
    expect(await reads.ask("receive 30000000")).toEqual({ done: "receive" });
    expect(await sent).toEqual({ done: "send" });
  });
});
