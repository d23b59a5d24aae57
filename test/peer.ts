/** I/O: runs the independent oracle of tools/peer, which a checkout may lack. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../tools/peer/oracle.mjs", import.meta.url));
const modules = new URL("../tools/peer/node_modules/node-llama-cpp/", import.meta.url);
const deadlineMs = 300_000;

export function peerInstalled(): boolean {
  return existsSync(modules);
}

/** The JSON object that `oracle.mjs command --name value ...` prints; a value of `true` makes a bare flag. */
export function oracle(
  command: string,
  args: Readonly<Record<string, string | number | true>>,
): Promise<unknown> {
  const flags = Object.entries(args).map(([name, value]) =>
    value === true ? `--${name}` : `--${name}=${value}`,
  );
  const child = spawn(process.execPath, [script, command, ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let [out, errors] = ["", ""];
    const timer = setTimeout(
      () => end(() => reject(new Error(`oracle ${command}: no answer in time.`))),
      deadlineMs,
    );
    // llama.cpp's own threads can keep a process from ending that has said everything, so it is not waited for.
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      settle();
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (out.endsWith("\n")) end(() => resolve(JSON.parse(out)));
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.on("error", reject);
    child.on("close", (code) =>
      end(() => reject(new Error(`oracle ${command} ended with ${code}: ${errors}`))),
    );
  });
}
