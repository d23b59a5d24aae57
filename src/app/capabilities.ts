/** The capability tokens of a server: its folder, read again when it changes, and what looks at tokens. */

import { join } from "node:path";
import {
  AuthorizerThread,
  Capabilities,
  SpendingAccounts,
  SpentJournal,
  TokenFolder,
} from "../capability/mod.ts";
import { withStateFolder } from "../config/folders/mod.ts";
import { type Log, watchFile } from "../server/mod.ts";

export interface RunningCapabilities {
  readonly capabilities: Capabilities;
  /** Keeps ids as revoked and ends what runs under them. Errors: those of `TokenFolder.revoke`. */
  revoke(ids: readonly string[]): { readonly added: number; readonly ended: number };
  close(): Promise<void>;
}

/**
 * Makes the folder where there is none, or else what `claw token` puts there later would not be noticed.
 * Errors: E_STATE_DIR; E_TOKEN_KEY, E_FILE where what is in the folder cannot be read.
 */
export function startCapabilities(path: string, now: () => number, log: Log): RunningCapabilities {
  const folder = withStateFolder(path, () => new TokenFolder(path));
  const failed = (what: string) => (error: unknown) => {
    log.error({ folder: path, reason: error instanceof Error ? error.message : String(error) }, what);
  };
  const journal = new SpentJournal(join(path, "spent"), failed("What capability tokens spent is not kept."));
  const accounts = new SpendingAccounts(journal);
  const authorizer = new AuthorizerThread(folder.publicKeys(), {
    killed: (token) => capabilities.burnt(token),
  });
  const capabilities = new Capabilities({ authorizer, accounts, now });
  capabilities.revoke(folder.revoked());
  const follow = (file: string, read: () => void): (() => void) => {
    const onError = failed(`Changes of ${file} are not taken; what was read before stays.`);
    const onChange = (): void => {
      try {
        read();
      } catch (error) {
        onError(error);
      }
    };
    return watchFile(file, { onChange, onError });
  };
  const unwatch = [
    follow(folder.publicKeysFile, () => capabilities.useKeys(folder.publicKeys())),
    follow(folder.revokedFile, () => capabilities.revoke(folder.revoked())),
  ];
  const close = async (): Promise<void> => {
    for (const stop of unwatch) stop();
    accounts.close();
    await authorizer.close();
  };
  const revoke: RunningCapabilities["revoke"] = (ids) => {
    const { added, all } = folder.revoke(ids);
    return { added, ended: capabilities.revoke(all) };
  };
  return { capabilities, revoke, close };
}
