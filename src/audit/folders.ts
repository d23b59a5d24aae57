/** Where the parts of a ledger lie in its folder: only `log` is for others to read. */

import { join } from "node:path";

export interface LedgerPaths {
  /** In the formats of C2SP tlog-tiles. */
  readonly log: string;
  /** Holds the log's name where the log is in PostgreSQL in place of `log`. */
  readonly inPostgres: string;
  readonly vault: string;
  readonly logKey: string;
  readonly secondLogKey: string;
  readonly vaultKey: string;
  /** The log's public keys, for whoever verifies receipts. */
  readonly publicKeys: string;
}

export function ledgerPaths(folder: string): LedgerPaths {
  const at = (name: string): string => join(folder, name);
  return {
    log: at("log"),
    inPostgres: at("log.postgres"),
    vault: at("vault"),
    logKey: at("log.key"),
    secondLogKey: at("log-ml-dsa-44.key"),
    vaultKey: at("vault.key"),
    publicKeys: at("log.pub"),
  };
}
