/** I/O: the other end of measured links, a process of its own: echoes the rounds that lines on its standard input ask for. */

import { createInterface } from "node:readline";
import { type PeerLink, PeerListener } from "../../cluster/link/mod.ts";
import type { LinkAddress, RoundPlan } from "../../kernels/mod.ts";
import { benchSettings } from "./settings.ts";

const say = (value: unknown): void => console.log(JSON.stringify(value));

const { promise, resolve, reject } = Promise.withResolvers<PeerLink>();
const listener = new PeerListener(JSON.parse(process.argv[2] ?? "") as LinkAddress, {
  settings: () => benchSettings("echo", process.argv[3] ?? ""),
  onLink: resolve,
  onRefused: reject,
});
say(listener.address);
const { link } = await promise;
await listener.close();
for await (const line of createInterface({ input: process.stdin })) {
  await link.time({ ...(JSON.parse(line) as RoundPlan), echo: true });
  say({ done: true });
}
await link.close();
