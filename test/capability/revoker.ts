/**
 * I/O: a process that revokes ids in the folder FIRST names, every id beginning with the digit SECOND, until its standard input ends. With
 * a third argument its files may not grow by more than a few lines, anew before each id, so that most of its writes are cut.
 * At the end it prints which ids were acknowledged, and how many were not.
 */

import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { argv, pid, stdin, stdout } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { ClawError } from "../../src/base/mod.ts";
import { TokenFolder } from "../../src/capability/mod.ts";

const [path = "", mark = "", scarce] = argv.slice(2);
const folder = new TokenFolder(path);
const acknowledged: string[] = [];
let [refused, ended] = [0, false];
stdin.resume().on("end", () => {
  ended = true;
});

function leaveRoom(bytes: number): void {
  const size = existsSync(folder.revokedFile) ? statSync(folder.revokedFile).size : 0;
  execFileSync("prlimit", ["--pid", `${pid}`, `--fsize=${size + bytes}:unlimited`]);
}

for (let n = 0; !ended; n++) {
  const id = `${mark}${n.toString(16).padStart(7, "0")}`.repeat(16);
  if (scarce !== undefined) leaveRoom((n * 37) % 400);
  try {
    folder.revoke([id]);
    acknowledged.push(id);
  } catch (error) {
    if (!(error instanceof ClawError && error.code === "E_STATE_DIR")) throw error;
    refused++;
  }
  // So that there is room left of what was left to the scarce one.
  await sleep(scarce === undefined ? 3 : 0);
}
execFileSync("prlimit", ["--pid", `${pid}`, "--fsize=unlimited:unlimited"]);
stdout.write(JSON.stringify({ acknowledged, refused }));
