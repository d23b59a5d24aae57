/** I/O: connections to a PostgreSQL that keeps what it says it keeps. */

import { type ClientBase, Pool, type QueryResult, type QueryResultRow } from "pg";
import { ClawError } from "../../base/mod.ts";
import { POSTGRES_CONNECT_MS, POSTGRES_CONNECTIONS_MAX, POSTGRES_QUERY_MS } from "../limits.ts";

/** Settings that a commit's durability stands on; a role or a database may have its own. */
const SETTINGS = ["fsync", "full_page_writes", "synchronous_commit"] as const;

export class PostgresConnections {
  readonly #pool: Pool;

  /** `url`: `postgresql://…`, RFC 3986; what it leaves out comes from PGHOST, PGUSER and the like. Nothing is connected yet. */
  constructor(url: string) {
    this.#pool = new Pool({
      connectionString: url,
      max: POSTGRES_CONNECTIONS_MAX,
      connectionTimeoutMillis: POSTGRES_CONNECT_MS,
      query_timeout: POSTGRES_QUERY_MS,
      keepAlive: true,
      // Whoever only reads need not say when it is done.
      allowExitOnIdle: true,
      // Each connection anew: a server that was started again, or a role that was altered, may have other settings.
      verify: (client, done) => void checkDurability(client).then(() => done(), done),
      application_name: "openclaw ledger",
    });
    // A connection that breaks while it idles is replaced when the next one is needed.
    this.#pool.on("error", () => {});
    // One that breaks while it is checked, before the pool hands it out, would end the process; its query says so too.
    this.#pool.on("connect", (client) => void client.on("error", () => {}));
  }

  /** One statement, in a transaction of its own. Errors: E_LEDGER, E_LEDGER_UNSAFE from a new connection. */
  async query<R extends QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<QueryResult<R>> {
    try {
      return await this.#pool.query<R>(text, [...values]);
    } catch (cause) {
      if (cause instanceof ClawError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ClawError("E_LEDGER", `The ledger's database did not do as it was asked: ${reason}.`, {
        cause,
      });
    }
  }

  async close(): Promise<void> {
    if (!this.#pool.ending) await this.#pool.end();
  }
}

/** Refuses a server, database or role whose commits may be lost. Errors: E_LEDGER_UNSAFE, those of the connection. */
async function checkDurability(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
    [SETTINGS],
  );
  const off = rows.filter(({ setting }) => setting === "off").map(({ name }) => `${name} is off`);
  if (off.length === 0) return;
  throw new ClawError("E_LEDGER_UNSAFE", `PostgreSQL may lose what it has acknowledged: ${off.join(", ")}.`);
}
