/** The ledger's tables in PostgreSQL. Several logs share them, each under its name. */

/** An arbitrary number: who makes the tables holds the lock of it, so that two starts do not make them at once. */
const LOCK = 7_236_501;

/** One simple query, and so one transaction; harmless where the tables are there. */
export const SCHEMA: string = `
SELECT pg_advisory_xact_lock(${LOCK});
CREATE TABLE IF NOT EXISTS claw_ledger_logs (
  log text PRIMARY KEY,
  size bigint NOT NULL DEFAULT 0,
  checkpoint_size bigint NOT NULL DEFAULT 0,
  checkpoint bytea
);
CREATE TABLE IF NOT EXISTS claw_ledger_entries (
  log text NOT NULL,
  index bigint NOT NULL,
  entry bytea NOT NULL,
  PRIMARY KEY (log, index)
);
CREATE TABLE IF NOT EXISTS claw_ledger_files (
  log text NOT NULL,
  path text NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (log, path)
);
`;

/** [log]: begins it where it is not there. */
export const BEGIN = "INSERT INTO claw_ledger_logs (log) VALUES ($1) ON CONFLICT DO NOTHING";

/**
 * [log, entries, their number]: takes their places and puts them there, all or nothing. The row of the log is locked until
 * that is durable, so who comes next gets places behind, and no place is ever left empty.
 */
export const APPEND = `
WITH place AS (
  UPDATE claw_ledger_logs SET size = size + $3::bigint WHERE log = $1 RETURNING size - $3::bigint AS first
), added AS (
  INSERT INTO claw_ledger_entries (log, index, entry)
  SELECT $1, place.first + given.number - 1, given.entry
  FROM place, unnest($2::bytea[]) WITH ORDINALITY AS given (entry, number)
)
SELECT first FROM place`;

/** [log] */
export const SIZE = "SELECT size AS first FROM claw_ledger_logs WHERE log = $1";

/** [log, first, end, limit] */
export const ENTRIES = `
SELECT index, entry FROM claw_ledger_entries WHERE log = $1 AND index >= $2 AND index < $3 ORDER BY index LIMIT $4`;

/** [log, end] */
export const RELEASE = "DELETE FROM claw_ledger_entries WHERE log = $1 AND index < $2";

/** [log, path] */
export const READ_FILE = "SELECT bytes FROM claw_ledger_files WHERE log = $1 AND path = $2";

/** [log, path, bytes] */
export const WRITE_FILE =
  "INSERT INTO claw_ledger_files (log, path, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

/** [log, the beginning of paths] */
export const DROP_FILES = "DELETE FROM claw_ledger_files WHERE log = $1 AND starts_with(path, $2)";

/** [log] */
export const READ_CHECKPOINT = "SELECT checkpoint AS bytes FROM claw_ledger_logs WHERE log = $1";

/** [log, size, note]: compare and swap; a larger one stays. */
export const WRITE_CHECKPOINT = `
UPDATE claw_ledger_logs SET checkpoint = $3, checkpoint_size = $2::bigint
WHERE log = $1 AND (checkpoint IS NULL OR checkpoint_size <= $2::bigint)`;
