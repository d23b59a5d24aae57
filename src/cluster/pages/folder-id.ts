/** I/O: how a folder of pages is known again, whoever reaches it by whatever path: by a file of random digits in it. */

import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";

const NAME = "folder-id";
export const FOLDER_ID: RegExp = /^[0-9a-f]{32}$/;

/** 32 hexadecimal digits, which are made where there are none. E_FILE. */
export function folderId(folder: string): string {
  const path = join(folder, NAME);
  const unfinished = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    // Under its name it is whole from the first moment on, and whoever comes second reads the first one's.
    writeFileSync(unfinished, randomBytes(16).toString("hex"), { mode: 0o600 });
    try {
      linkSync(unfinished, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      rmSync(unfinished, { force: true });
    }
    const id = readFileSync(path, "utf8");
    if (FOLDER_ID.test(id)) return id;
  } catch (cause) {
    throw new ClawError("E_FILE", `The folder for copies of pages, ${folder}, cannot be used.`, { cause });
  }
  throw new ClawError("E_FILE", `${path} has to be 32 hexadecimal digits: delete it, and start again.`);
}
