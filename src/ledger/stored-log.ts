/** A log as those see it who write nothing; its server may run meanwhile. */

import type { Disk } from "./disk/mod.ts";
import { FileStorage, type LogStorage } from "./storage/mod.ts";

/** Reading is all that a reader does. */
export type StoredLog = Pick<LogStorage, "read" | "replay">;

/** The log in files. What a running server appends is not whole at first; whoever only looks does not cut it off. */
export function storedInFiles(disk: Disk): StoredLog {
  const nothing = async (): Promise<void> => {};
  return new FileStorage({
    read: (path) => disk.read(path),
    list: (folder) => disk.list(folder),
    hold: nothing,
    append: nothing,
    sync: nothing,
    truncate: nothing,
    replace: nothing,
    remove: nothing,
    close: nothing,
  });
}
