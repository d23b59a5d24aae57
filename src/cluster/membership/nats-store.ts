/** I/O: the control plane on NATS: a JetStream key-value bucket, which outlives its server's death. */

import { JetStreamApiError, jetstream } from "@nats-io/jetstream";
import { type KV, type KvEntry, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { RECONNECT_MS, REQUEST_MS, STATE_BYTES_MAX } from "./limits.ts";
import { connectNats, controlError, type NatsAccess } from "./nats-connection.ts";
import type { ControlStore, Entry, Write, WriteOutcome } from "./store.ts";

export interface NatsOptions extends NatsAccess {
  readonly bucket: string;
}

/** JetStream's code for a write over another revision than the last. */
const WRONG_LAST_SEQUENCE = 10071;

/** Opens the bucket, which is made where it is missing. E_CONTROL. */
export async function openNatsStore({ bucket, ...access }: NatsOptions): Promise<ControlStore> {
  let connection: NatsConnection | undefined;
  try {
    connection = await connectNats(access);
    const client = jetstream(connection, { timeout: REQUEST_MS });
    const options = { history: 1, maxValueSize: STATE_BYTES_MAX, timeout: REQUEST_MS };
    return new NatsStore(connection, await new Kvm(client).create(bucket, options));
  } catch (error) {
    await connection?.close();
    throw controlError(`open ${bucket} on ${access.servers.join(", ")}`, error);
  }
}

class NatsStore implements ControlStore {
  readonly #connection: NatsConnection;
  readonly #kv: KV;
  readonly #watches = new Set<Watch>();

  constructor(connection: NatsConnection, kv: KV) {
    this.#connection = connection;
    this.#kv = kv;
    void this.#renewWatches();
  }

  async write({ key, value, expected }: Write): Promise<WriteOutcome> {
    try {
      if (value === undefined) return await this.#delete(key, expected);
      const bytes = value.slice();
      const revision = await (expected === 0
        ? this.#kv.create(key, bytes)
        : this.#kv.update(key, bytes, expected));
      return { kind: "done", revision };
    } catch (error) {
      if (isConflict(error)) return { kind: "conflict" };
      throw controlError(`write ${key}`, error);
    }
  }

  async read(key: string): Promise<Entry | undefined> {
    try {
      const entry = await this.#kv.get(key);
      return entry === null || entry.operation !== "PUT" ? undefined : entryOf(entry);
    } catch (error) {
      throw controlError(`read ${key}`, error);
    }
  }

  async watch(listener: (entry: Entry) => void): Promise<() => void> {
    const watch = new Watch(this.#kv, listener);
    try {
      await watch.begin();
    } catch (error) {
      throw controlError("watch", error);
    }
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
      watch.end();
    };
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.end();
    this.#watches.clear();
    await this.#connection.close();
  }

  async #delete(key: string, expected: number): Promise<WriteOutcome> {
    await this.#kv.delete(key, { previousSeq: expected });
    // The marker's own revision is not told; watchers see it.
    return { kind: "done", revision: 0 };
  }

  /** A server that was away has forgotten its watchers: after a while the client would notice, too, but not soon. */
  async #renewWatches(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === "reconnect") for (const watch of this.#watches) void watch.renew();
    }
  }
}

/** One listener, over connections that come and go. */
class Watch {
  readonly #kv: KV;
  readonly #listener: (entry: Entry) => void;
  #stop: (() => void) | undefined;
  #ended = false;

  constructor(kv: KV, listener: (entry: Entry) => void) {
    this.#kv = kv;
    this.#listener = listener;
  }

  async begin(): Promise<void> {
    const entries = await this.#kv.watch();
    if (this.#ended) return entries.stop();
    this.#stop?.();
    this.#stop = () => entries.stop();
    void this.#follow(entries);
  }

  /** Begins again until it works; what was missed is told then, since a watch begins with what is there. */
  async renew(): Promise<void> {
    while (!this.#ended) {
      try {
        return await this.begin();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
      }
    }
  }

  end(): void {
    this.#ended = true;
    this.#stop?.();
  }

  async #follow(entries: AsyncIterable<KvEntry>): Promise<void> {
    for await (const entry of entries) if (!this.#ended) this.#listener(entryOf(entry));
  }
}

function entryOf({ key, value, revision, operation }: KvEntry): Entry {
  return { key, value: operation === "PUT" ? Uint8Array.from(value) : undefined, revision };
}

function isConflict(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE;
}
