/** I/O: a folder's disk that counts what is made durable, and how long the journal's syncs take. */

import { FolderDisk } from "../../ledger/mod.ts";

export class CountingDisk extends FolderDisk {
  /** Commits: one append and one sync each. */
  commits = 0;
  /** Tiles, bundles and checkpoints; each syncs a file and its folder. */
  files = 0;
  readonly syncMs: number[] = [];

  override async sync(path: string): Promise<void> {
    const start = performance.now();
    await super.sync(path);
    this.syncMs.push(performance.now() - start);
    this.commits++;
  }

  override async replace(path: string, bytes: Uint8Array): Promise<void> {
    await super.replace(path, bytes);
    this.files++;
  }
}
