/** The servers of a run: one alone, or the holder of a lease and one that stands by. What is done to them, and what is left. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { tcpConnections } from "../tcp-connections.ts";
import { Driven, type Setting } from "./driven.ts";
import type { Kind } from "./gaps.ts";
import { Cut } from "./own-network.ts";
import { holds, say, within } from "./progress.ts";

/** What `/health` says of a server that streams go on at. */
const ANSWERING: readonly string[] = ["ok", "recovering"];

/** A rank is linked to the engine's process and to the other rank. */
const LINKS_OF_RANK = 2;

const START_S = 240;
const READY_S = 60;
/** Records of the dead are removed after half a minute. */
const FORGOTTEN_S = 60;

export class Fleet {
  readonly servers: Driven[] = [];
  readonly #setting: Setting;
  #started = 0;
  /** Ranks of servers that were killed. */
  readonly #orphans: number[] = [];

  constructor(setting: Setting) {
    this.#setting = setting;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  async launch(): Promise<void> {
    const name = `server-${this.#started++}`;
    say(`${name} starts`);
    const starting = Driven.start(name, this.#setting);
    const server = await within(START_S, { what: `${name} loads the model` }, starting);
    this.servers.push(server);
    const { cluster } = this.#setting;
    const states = cluster === undefined ? ["ok"] : ["ok", "standby"];
    await holds(READY_S, `${name} is ready`, async () => states.includes(await server.health()));
    say(`${name} is ready: ${await server.health()}`);
    const { linked = false } = this.#setting;
    const links = server.ranks.map((rank) => tcpConnections(rank).length);
    if (linked && !links.slice(0, 2).every((count) => count >= LINKS_OF_RANK)) {
      throw new Error(`The ranks of ${name} have ${links.join(" and ")} TCP connections: nothing to cut.`);
    }
  }

  /** The one that answers. */
  async owner(): Promise<Driven> {
    const end = performance.now() + READY_S * 1000;
    while (performance.now() < end) {
      for (const server of this.servers) {
        if (ANSWERING.includes(await server.health())) return server;
      }
      await sleep(20);
    }
    throw new Error("Waited in vain: a server answers.");
  }

  /** Does it to the one that answers. What makes up for it, once streams go on. */
  async fault(kind: Kind, random: number): Promise<(() => Promise<void>) | undefined> {
    const holder = await this.owner();
    const { ranks } = holder;
    const rank = ranks[random % 2];
    // Ranks that are being replaced are not lost once more when one of them ends.
    if (kind.startsWith("rank") && (await holder.health()) !== "ok") return undefined;
    if (kind === "rank killed" || kind === "rank stopped") {
      if (rank === undefined) return undefined;
      process.kill(rank, kind === "rank killed" ? "SIGKILL" : "SIGSTOP");
      return () => ended(rank, holder);
    }
    if (kind === "rank cut off") return rank === undefined ? undefined : cutOff(rank, holder);
    if (this.servers.length < 2) return undefined;
    if (kind === "owner cut off") {
      holder.wire?.cut();
      return () => this.#back(holder, () => holder.wire?.heal());
    }
    if (kind === "owner stopped") {
      holder.signal("SIGSTOP");
      return () => this.#back(holder, () => holder.signal("SIGCONT"));
    }
    holder.signal("SIGKILL");
    this.#orphans.push(...ranks);
    return async () => {
      this.servers.splice(this.servers.indexOf(holder), 1);
      await holder.kill();
      await this.launch();
    };
  }

  /** What should not be there when nothing is wrong any more. */
  async ghosts(): Promise<Record<string, unknown>> {
    for (const server of this.servers) {
      const counted = (): boolean => server.ranks.length === 4 || server.ranks.length === 2;
      await holds(READY_S, `${server.name} has its ranks again`, counted).catch(() => {});
    }
    const gone = (): boolean => this.#orphans.every((pid) => !existsSync(`/proc/${pid}`));
    await holds(READY_S, "ranks of dead servers end", gone).catch(() => {});
    const names = this.servers.map(({ name }) => name).toSorted();
    let listed: string[] = [];
    const forgotten = async (): Promise<boolean> => {
      listed = await this.#members();
      return listed.join() === names.join();
    };
    const clustered = this.#setting.cluster !== undefined;
    if (clustered) await holds(FORGOTTEN_S, "the dead are forgotten", forgotten).catch(() => {});
    return {
      orphanedRanks: this.#orphans.filter((pid) => existsSync(`/proc/${pid}`)).length,
      ranks: Object.fromEntries(this.servers.map((server) => [server.name, server.ranks.length])),
      inStatus: clustered ? listed.filter((name) => !names.includes(name)) : null,
      missing: clustered ? names.filter((name) => !listed.includes(name)) : null,
    };
  }

  /** Ends everything, also after an error. */
  async close(): Promise<void> {
    await Promise.all(
      this.servers.map((server) =>
        within(30, { what: `${server.name} stops` }, server.stop()).catch(async (error) => {
          say(String(error));
          await server.kill();
        }),
      ),
    );
  }

  async #back(holder: Driven, heal: () => void): Promise<void> {
    const others = this.servers.filter((server) => server !== holder);
    const answered = async (): Promise<boolean> =>
      (await Promise.all(others.map((other) => other.health()))).some((state) => ANSWERING.includes(state));
    await holds(READY_S, `another server answers in place of ${holder.name}`, answered);
    heal();
    await holds(READY_S, `${holder.name} stands by`, async () => (await holder.health()) === "standby");
  }

  /** Names in the cluster's status. */
  async #members(): Promise<string[]> {
    const { cluster } = this.#setting;
    if (cluster === undefined) return [];
    const claw = fileURLToPath(new URL("../../../claw", import.meta.url));
    const access = ["--control", `nats://${cluster.nats}`, "--secret-file", cluster.secretFile];
    const { stdout } = await promisify(execFile)(claw, ["cluster", "status", ...access, "--json"]);
    return (JSON.parse(stdout) as { nodes: { name: string }[] }).nodes.map(({ name }) => name).toSorted();
  }
}

/** Its process lives on, and is told nothing. Undefined where it has no links: it is about to end, or has not met the others yet. */
function cutOff(rank: number, holder: Driven): (() => Promise<void>) | undefined {
  const cut = new Cut(rank);
  if (cut.connections < LINKS_OF_RANK) {
    cut.heal();
    return undefined;
  }
  const since = performance.now();
  const gone = ended(rank, holder).then(() => performance.now() - since);
  gone.catch(() => {});
  return async () => {
    const seconds = (await gone) / 1000;
    cut.heal();
    say(`rank ${rank}, cut off in ${cut.connections} connections, had ended after ${seconds.toFixed(2)} s`);
  };
}

/** A server ends the ranks that it replaces, whatever state they are in. */
function ended(rank: number, holder: Driven): Promise<void> {
  const gone = (): boolean => !holder.ranks.includes(rank);
  return holds(READY_S, `${holder.name} ends its rank ${rank}, which it has replaced`, gone);
}
