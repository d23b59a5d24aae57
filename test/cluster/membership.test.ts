/** Members over real control planes: they join, die, come back, and lose their server. */

import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import {
  Agent,
  CONTROL_VERSION,
  type ControlStore,
  FailureDetector,
  Fence,
  Member,
  type MemberOptions,
  MemoryStore,
  NO_DEGREES,
  NO_SLICES,
  NODE_RECORD_BYTES_MAX,
  type NodeRecord,
  nodeKey,
  openNatsStore,
  readState,
  STATE_BYTES_MAX,
  STATE_KEY,
  TIMING_DEFAULT,
  type Timing,
} from "../../src/cluster/mod.ts";
import { NatsServer, natsHere } from "./nats-server.ts";
import { until } from "./until.ts";

/** Long enough for a loaded machine's pauses. */
const timing: Timing = { ...TIMING_DEFAULT, leaseMs: 2000, forgetMs: 1500 };

const agents: Agent[] = [];
afterEach(() => {
  for (const agent of agents.splice(0)) agent.stop();
});

function optionsOf(
  name: string,
  {
    life = randomBytes(8).toString("hex"),
    role = "server",
  }: { life?: string; role?: "server" | "node" } = {},
): MemberOptions & { readonly self: NonNullable<MemberOptions["self"]> } {
  const speed = { bytesPerSecond: 1e9, multiplyAddsPerSecond: 1e10 };
  const description = {
    name,
    memoryBytes: 1e9,
    formats: { i8: speed },
    kvBytesPerSecond: 1e9,
    layerSeconds: 0,
  };
  const counts = { work: { epoch: 0, ranks: [] }, refused: {}, slices: NO_SLICES };
  const offer = { description, links: [], models: [], fetches: false, draining: false };
  const dialect = { protocol: 1, arithmetic: 1 };
  const problem = (nodes: readonly NodeRecord[]): string => `planned for ${nodes.length}`;
  return {
    self: { life, role, address: null, dialect, ...offer, ...counts },
    timing,
    plan: (nodes, done) => done({ plan: null, problem: problem(nodes), degrees: NO_DEGREES }),
  };
}

const secret = new Uint8Array(32).fill(7);

async function join(store: ControlStore, name: string, options: Partial<MemberOptions> = {}): Promise<Agent> {
  const clock = (): number => performance.now();
  const agent = await Agent.start({ ...optionsOf(name), ...options, store, clock });
  agents.push(agent);
  return agent;
}

/** Whether one of them holds the lease, and everybody knows a plan for exactly these. */
function settled(list: readonly Agent[], names: readonly string[]): boolean {
  const statuses = list.map((agent) => agent.status());
  const planned = statuses.map(({ state }) => (state?.plan?.nodes ?? []).map(({ node }) => node).join());
  const epochs = new Set(statuses.map(({ state }) => state?.epoch));
  return (
    statuses.filter(({ active }) => active).length === 1 &&
    epochs.size === 1 &&
    planned.every((nodes) => nodes === names.toSorted().join())
  );
}

interface Plane {
  readonly name: string;
  open(): Promise<{
    stores: ControlStore[];
    restart: (() => Promise<void>) | undefined;
    end(): Promise<void>;
  }>;
}

const planes: readonly Plane[] = [
  {
    name: "in the process",
    open: async () => {
      const store = new MemoryStore();
      return { stores: [store, store, store], restart: undefined, end: () => store.close() };
    },
  },
  {
    name: "NATS",
    open: async () => {
      const server = new NatsServer();
      await server.start();
      const options = { servers: [server.address], bucket: "members" };
      const stores = await Promise.all([1, 2, 3].map(() => openNatsStore(options)));
      return {
        stores,
        restart: async () => {
          await server.kill();
          await new Promise((resolve) => setTimeout(resolve, 1500));
          await server.start();
        },
        end: async () => {
          await Promise.all(stores.map((store) => store.close()));
          await server.remove();
        },
      };
    },
  },
];

describe.each(planes.slice(0, natsHere ? 2 : 1))("members over the control plane: $name", ({ open }) => {
  test("three join; the holder dies, another takes over under a new epoch; it comes back", async () => {
    const { stores, restart, end } = await open();
    const names = ["a", "b", "c"];
    let list = await Promise.all(names.map((name, index) => join(stores[index]!, name, { secret })));
    await until(() => settled(list, names));
    const first = list[0]!.status().state!;
    const holder = list.find((agent) => agent.status().active)!;
    const { node } = first.holder;
    holder.stop();
    list = list.filter((agent) => agent !== holder);
    const rest = names.filter((name) => name !== node);
    await until(() => settled(list, rest));
    const second = list[0]!.status().state!;
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect(second.plan!.version).toBeGreaterThan(first.plan!.version);
    // Its record goes away, too.
    await until(() => list.every((agent) => agent.status().peers.every((peer) => peer.node !== node)));
    list.push(await join(stores[names.indexOf(node)]!, node, { secret }));
    await until(() => settled(list, names));
    if (restart !== undefined) {
      const before = list[0]!.status().state!;
      await restart();
      await until(() => settled(list, names) && list[0]!.status().state!.beat > before.beat + 3);
      expect(list[0]!.status().state!.plan!.version).toBeGreaterThanOrEqual(before.plan!.version);
    }
    for (const agent of list) expect(agent.status().dropped).toEqual({});
    for (const agent of list) agent.stop();
    await end();
  });

  test("garbage under every key is dropped with its reason, and the cluster goes on", async () => {
    const { stores, end } = await open();
    const list = await Promise.all(["a", "b"].map((name, index) => join(stores[index]!, name)));
    await until(() => settled(list, ["a", "b"]));
    const throwIn = async (key: string, value: Uint8Array): Promise<void> => {
      await until(async () => {
        const expected = (await stores[2]!.read(key))?.revision ?? 0;
        return (await stores[2]!.write({ key, value, expected })).kind === "done";
      });
    };
    const state = list[0]!.status().state!;
    const text = (document: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(document));
    await throwIn("other", text({}));
    await throwIn(nodeKey("x"), Uint8Array.of(0xff, 0x00));
    await throwIn(nodeKey("y"), text({ ...state, version: 1 }));
    await throwIn(nodeKey("z"), text({ version: CONTROL_VERSION, life: "0".repeat(16), beat: -1 }));
    await throwIn(
      nodeKey("w"),
      text({ version: CONTROL_VERSION, edition: 0, ...optionsOf("v").self, beat: 0 }),
    );
    await throwIn(nodeKey("v"), new Uint8Array(NODE_RECORD_BYTES_MAX + 1));
    await throwIn(STATE_KEY, text({ ...state, epoch: "1" }));
    await until(() => settled(list, ["a", "b"]));
    const reasons = ["has an unknown key", "is not JSON", "is of another version", "is malformed"];
    for (const agent of list) {
      await until(() => Object.keys(agent.status().dropped).length >= 6);
      const { dropped, peers } = agent.status();
      for (const reason of [...reasons, "names another node than its key", "is too large"]) {
        expect(dropped[reason], reason).toBeGreaterThan(0);
      }
      expect(peers).toHaveLength(1);
    }
    await until(() => settled(list, ["a", "b"]) && list[0]!.status().state!.epoch > state.epoch);
    for (const agent of list) agent.stop();
    await end();
  });
});

describe.each(planes.slice(0, natsHere ? 2 : 1))("who is no member, and who leaves: $name", ({ open }) => {
  test("a stranger's records are dropped and counted; a name that is taken is refused; nodes hold no lease", async () => {
    const { stores, end } = await open();
    const [first, second, third] = stores as [ControlStore, ControlStore, ControlStore];
    const node = await join(first, "node", { ...optionsOf("node", { role: "node" }), secret });
    // Without a server there is nobody to hold the lease.
    await new Promise((resolve) => setTimeout(resolve, 2 * timing.leaseMs));
    expect(node.status().state).toBeUndefined();
    const server = await join(second, "server", { secret });
    await until(() => settled([server], ["node", "server"]));
    const stranger = await join(third, "stranger", { secret: new Uint8Array(32).fill(8) });
    const watcher = await join(third, "", { self: undefined, secret });
    await until(() => [node, server, watcher].every((agent) => refusals(agent) > 2));
    for (const agent of [node, server]) expect(namesOf(agent)).not.toContain("stranger");
    expect(namesOf(stranger)).toEqual([]);
    await until(() => namesOf(watcher).join() === "node,server" && watcher.status().state?.plan != null);
    expect(watcher.status()).toMatchObject({ self: "watching", active: false });
    expect(watcher.status().state?.holder.node).toBe("server");
    stranger.stop();
    const twin = await join(third, "node", { ...optionsOf("node", { role: "node" }), secret });
    await until(() => twin.status().self === "taken");
    expect(node.status().self).toBe("member");
    for (const agent of [node, server, watcher, twin]) agent.stop();
    await end();
  });

  test("what changes an offer makes a new plan; who leaves is gone at once", async () => {
    const { stores, end } = await open();
    const [a, b] = await Promise.all(["a", "b"].map((name, i) => join(stores[i]!, name, { secret })));
    const list = [a!, b!];
    await until(() => settled(list, ["a", "b"]));
    const before = list[0]!.status().state!.plan!;
    list[1]!.count({ work: { epoch: 5, ranks: [1] } });
    list[1]!.say({ draining: true });
    await until(() => list[0]!.status().state!.plan!.version > before.version);
    const after = list[0]!.status().state!.plan!;
    expect(after.version).toBe(before.version + 1);
    expect(after.nodes.map(({ edition }) => edition)).toEqual([0, 1]);
    expect(list[0]!.status().peers[0]?.record).toMatchObject({
      draining: true,
      work: { epoch: 5, ranks: [1] },
    });
    await list[1]!.leave();
    expect(list[1]!.status().self).toBe("left");
    // Not only when it has been missed: its record is gone.
    await until(() => list[0]!.status().peers.length === 0);
    await until(() => settled([list[0]!], ["a"]));
    list[0]!.stop();
    await end();
  });
});

function namesOf(agent: Agent): string[] {
  return agent.status().peers.map(({ node }) => node);
}

function refusals(agent: Agent): number {
  return agent.status().dropped["was written by no member"] ?? 0;
}

describe("a member alone, told what to believe", () => {
  test("another life under its name: it waits while that one lives, and ends when it is displaced", () => {
    let now = 0;
    const member = new Member(now, optionsOf("a", { life: "1".repeat(16) }));
    const other = {
      ...{ version: CONTROL_VERSION, edition: 0 },
      ...optionsOf("a", { life: "2".repeat(16) }).self,
    };
    const record = (beat: number): Uint8Array => new TextEncoder().encode(JSON.stringify({ ...other, beat }));
    member.saw(now, { key: nodeKey("a"), value: record(0), revision: 5 });
    expect(member.status(now).self).toBe("waiting");
    for (let beat = 1; beat < 20; beat++) {
      now += timing.leaseMs / 2;
      member.saw(now, { key: nodeKey("a"), value: record(beat), revision: 5 + beat });
      for (const request of member.tick(now)) {
        expect(request.kind).toBe("read");
        const entry = { key: nodeKey("a"), value: record(beat), revision: 5 + beat };
        member.answered(now, request, { kind: "entry", entry });
      }
    }
    now += timing.leaseMs * 2;
    const [write] = member.tick(now);
    if (write?.kind !== "write") throw new Error("It does not take over a dead name.");
    expect(write.write.expected).toBe(24);
    member.answered(now, write, { kind: "done", revision: 30 });
    expect(member.status(now).self).toBe("member");
    member.saw(now, { key: nodeKey("a"), value: record(99), revision: 31 });
    expect(member.status(now).self).toBe("displaced");
    // Also when the other one goes on, and dies.
    member.saw(now, { key: nodeKey("a"), value: record(100), revision: 32 });
    expect(member.status(now).self).toBe("displaced");
    expect(member.tick(now + 1e6)).toEqual([]);
  });

  test("whatever bytes it is shown, it throws nothing, keeps bounded state and asks at most once about a key", () => {
    let dropped = 0;
    const keys = fc.oneof(
      fc.constantFrom(STATE_KEY, nodeKey("a"), nodeKey("b"), nodeKey(""), "node", ""),
      fc.string().map(nodeKey),
      fc.string(),
    );
    const state = {
      ...{
        version: CONTROL_VERSION,
        epoch: 3,
        holder: { node: "b", life: "0".repeat(16) },
        beat: 1,
        plan: null,
      },
    };
    const record = { version: CONTROL_VERSION, edition: 0, ...optionsOf("b").self, beat: 1 };
    const documents = fc.oneof(
      fc.json().map((text) => text),
      fc.constantFrom(state, record).map((document) => JSON.stringify(document)),
      fc
        .tuple(fc.constantFrom(state, record), fc.string(), fc.jsonValue())
        .map(([document, key, value]) => JSON.stringify({ ...document, [key || "epoch"]: value })),
    );
    const values = fc.oneof(
      documents.map((text) => new TextEncoder().encode(text)),
      fc.uint8Array({ maxLength: 200 }),
      fc.constant(undefined),
      fc.constant(new Uint8Array(STATE_BYTES_MAX + 1)),
    );
    const revision = fc.oneof(fc.nat(50), fc.constantFrom(Number.NaN, -1, Number.MAX_SAFE_INTEGER));
    const entries = fc.array(fc.record({ key: keys, value: values, revision }), { maxLength: 40 });
    fc.assert(
      fc.property(entries, (list) => {
        const member = new Member(0, optionsOf("a"));
        for (const [index, entry] of list.entries()) {
          member.saw(index, entry);
          const asked = member
            .tick(index)
            .map((request) => ("key" in request ? request.key : request.write.key));
          expect(new Set(asked).size).toBe(asked.length);
        }
        dropped += Object.values(member.status(100).dropped).reduce((sum, count) => sum + count, 0);
      }),
      { seed: 5, numRuns: 400 },
    );
    expect(dropped).toBeGreaterThan(500);
  });

  test("a forged state of an older epoch, and one that lies about its shape, are not believed", () => {
    const member = new Member(0, optionsOf("a"));
    const state = (epoch: number): Uint8Array =>
      new TextEncoder().encode(
        JSON.stringify({
          version: CONTROL_VERSION,
          epoch,
          holder: { node: "b", life: "0".repeat(16) },
          beat: 0,
          plan: null,
        }),
      );
    member.saw(0, { key: STATE_KEY, value: state(7), revision: 10 });
    member.saw(0, { key: STATE_KEY, value: state(6), revision: 11 });
    expect(member.state).toBeUndefined();
    expect(member.status(0).dropped).toEqual({ "is of an older epoch": 1 });
    const reading = readState(new TextEncoder().encode(`{"version":2,"epoch":${"[".repeat(1e5)}`));
    expect(reading).toEqual({ problem: "is not JSON" });
  });
});

describe("the failure detector", () => {
  const heartbeatMs = 100;
  /** Milliseconds of silence until it is sure, after heartbeats of this jitter. */
  const patience = (jitterMs: number): number => {
    const detector = new FailureDetector(0, { heartbeatMs });
    let now = 0;
    for (let beat = 0; beat < 200; beat++) {
      now += heartbeatMs + jitterMs * Math.sin(beat * 7.3);
      detector.heard(now);
    }
    let silence = 0;
    while (detector.phi(now + silence) < 8) silence++;
    return silence;
  };

  test("is patient where heartbeats are unsteady, and quick where they are steady", () => {
    expect(patience(0)).toBeLessThan(3 * heartbeatMs);
    expect(patience(300)).toBeGreaterThan(2 * patience(0));
    expect(patience(300)).toBeLessThan(30 * heartbeatMs);
  });

  test("suspicion grows with silence, and ends with a heartbeat", () => {
    const detector = new FailureDetector(0, { heartbeatMs });
    const suspicions = Array.from({ length: 50 }, (_, index) => detector.phi(index * 50));
    expect(suspicions).toEqual(suspicions.toSorted((a, b) => a - b));
    expect(suspicions[0]).toBeLessThan(1);
    expect(suspicions.at(-1)).toBeGreaterThan(100);
    detector.heard(2500);
    expect(detector.phi(2500)).toBeLessThan(1);
  });
});

test("a fence admits newer epochs and keeps older ones out", () => {
  const fence = new Fence();
  expect([1, 1, 3, 2, 3, 1, 4].map((epoch) => fence.admit(epoch))).toEqual([
    ...[true, true, true, false, true, false, true],
  ]);
  expect([Number.NaN, 1.5, Infinity, -1].map((epoch) => fence.admit(epoch))).toEqual([
    false,
    false,
    false,
    false,
  ]);
  expect(fence.newest).toBe(4);
});
