/**
 * I/O: the journal on NATS: a JetStream stream on disk. A record is a message under `openclaw.journal.BUCKET.EPOCH.STREAM.KIND`; it is
 * durable when the server says that it has it, as far as the server's own configuration goes.
 */

import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import {
  type JournalStore,
  RECORD_BYTES_MAX,
  type RecordPlace,
  type StoredRecord,
} from "../../journal/mod.ts";
import {
  type ControlAccess,
  connectNats,
  controlError,
  type NatsAccess,
  natsOptions,
  REQUEST_MS,
} from "../membership/mod.ts";
import { JOURNAL_AGE_MS, JOURNAL_BYTES_MAX, JOURNAL_RECORDS_MAX } from "./limits.ts";

interface NatsJournalOptions extends NatsAccess {
  /** Of the cluster's control plane. */
  readonly bucket: string;
}

/** The journal of a cluster, over a connection of its own: its records do not hold up those of the lease. Errors: as `openControl`. */
export function openJournal(access: ControlAccess): Promise<JournalStore> {
  return openNatsJournal(natsOptions(access));
}

/** JetStream's code for a stream that is there with another configuration. */
const STREAM_NAME_IN_USE = 10058;

/** Opens the stream, which is made where it is missing; one that is there is taken as it is. E_CONTROL. */
export async function openNatsJournal({ bucket, ...access }: NatsJournalOptions): Promise<JournalStore> {
  let connection: NatsConnection | undefined;
  try {
    connection = await connectNats(access);
    const manager = await jetstreamManager(connection, { timeout: REQUEST_MS });
    const names = { stream: `openclaw_journal_${bucket}`, prefix: `openclaw.journal.${bucket}` };
    await makeStream(manager, names);
    const client = jetstream(connection, { timeout: REQUEST_MS });
    return new NatsJournal({ connection, manager, client, ...names });
  } catch (error) {
    await connection?.close();
    throw controlError(`open the journal on ${access.servers.join(", ")}`, error);
  }
}

interface Names {
  readonly stream: string;
  readonly prefix: string;
}

async function makeStream(manager: JetStreamManager, { stream, prefix }: Names): Promise<void> {
  try {
    await manager.streams.add({
      name: stream,
      subjects: [`${prefix}.>`],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      // What is full says so: a record that is dropped silently would be missed only when it is too late.
      discard: DiscardPolicy.New,
      max_age: nanos(JOURNAL_AGE_MS),
      max_bytes: JOURNAL_BYTES_MAX,
      max_msgs: JOURNAL_RECORDS_MAX,
      max_msg_size: RECORD_BYTES_MAX + 1024,
    });
  } catch (error) {
    // An operator may have made it, with more replicas or more room.
    if (!(error instanceof JetStreamApiError && error.code === STREAM_NAME_IN_USE)) throw error;
  }
}

/** Records that are asked for at once. */
const READ_TOGETHER = 256;

interface Parts extends Names {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly client: JetStreamClient;
}

class NatsJournal implements JournalStore {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async add({ bytes, ...place }: StoredRecord): Promise<void> {
    const { client, prefix } = this.#parts;
    try {
      await client.publish(subjectOf(prefix, place), bytes);
    } catch (error) {
      throw controlError("keep a record of the journal", error);
    }
  }

  async remove(epoch: number, stream: string): Promise<void> {
    const { manager, stream: name, prefix } = this.#parts;
    try {
      await manager.streams.purge(name, { filter: `${prefix}.${epoch}.${stream}.>` });
    } catch (error) {
      throw controlError("forget a stream of the journal", error);
    }
  }

  async *read(): AsyncGenerator<StoredRecord, void, void> {
    const { manager, client, stream, prefix } = this.#parts;
    try {
      const config = {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.All,
        inactive_threshold: nanos(10 * REQUEST_MS),
        mem_storage: true,
      };
      const { name, num_pending } = await manager.consumers.add(stream, config);
      const consumer = await client.consumers.get(stream, name);
      let pending = num_pending;
      // Those that are added meanwhile are others': whoever reads is the only one that may add now.
      while (pending > 0) {
        const max_messages = Math.min(pending, READ_TOGETHER);
        let came = 0;
        for await (const { subject, data, info } of await consumer.fetch({
          max_messages,
          expires: REQUEST_MS,
        })) {
          came++;
          pending = Math.min(info.pending, pending - 1);
          yield { ...(placeOf(prefix, subject) ?? NOWHERE), bytes: data };
        }
        if (came === 0) throw new Error(`${pending} records did not come`);
      }
      await consumer.delete().catch(() => {});
    } catch (error) {
      throw controlError("tell what the journal has", error);
    }
  }

  async close(): Promise<void> {
    await this.#parts.connection.close();
  }
}

/** Where no member puts anything. */
const NOWHERE: RecordPlace = { epoch: 0, stream: "", kind: "opening" };

function subjectOf(prefix: string, { epoch, stream, kind }: RecordPlace): string {
  return `${prefix}.${epoch}.${stream}.${kind}`;
}

/** Undefined: nothing that a journal files under. */
function placeOf(prefix: string, subject: string): RecordPlace | undefined {
  const rest = subject.slice(prefix.length + 1);
  const [, epoch, stream, kind] = /^(\d{1,15})\.([0-9a-f]{32})\.(opening|tokens)$/.exec(rest) ?? [];
  if (stream === undefined || (kind !== "opening" && kind !== "tokens")) return undefined;
  return { epoch: Number(epoch), stream, kind };
}
