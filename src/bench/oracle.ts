/** I/O: asks llama.cpp, in a process of its own, for what is not a question of speed: logits, perplexity, other types. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ClawError } from "../base/mod.ts";

const script = fileURLToPath(new URL("../../tools/peer/oracle.mjs", import.meta.url));

/** The object that `oracle.mjs command --name value ...` prints; tools/peer/README.md has the commands. Errors: E_PEER. */
export function askOracle(
  command: string,
  args: Readonly<Record<string, string | number | boolean>>,
): Promise<unknown> {
  const flags = Object.entries(args).flatMap(([name, value]) => {
    if (typeof value === "boolean") return value ? [`--${name}`] : [];
    return [`--${name}=${value}`];
  });
  const child = spawn(process.execPath, [script, command, ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let [said, complained] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (!said.endsWith("\n")) return;
      resolve(JSON.parse(said));
      // Threads of llama.cpp can keep a process from ending that has said everything, so it is not waited for.
      child.kill("SIGKILL");
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complained = text;
    });
    child.on("error", (error) =>
      reject(new ClawError("E_PEER", `The peer did not start: ${error.message}.`)),
    );
    child.on("close", () => {
      const reason = complained.trim().split("\n").at(-1)?.replace(/\.$/, "") ?? "";
      reject(new ClawError("E_PEER", `The peer could not answer ${command}: ${reason}.`));
    });
  });
}
