/** I/O: `claw receipt page`: writes the page that verifies receipts in a browser. */

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { ClawError } from "../../base/mod.ts";
import { textOption } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print } from "../terminal.ts";

interface ReceiptPageSettings {
  readonly out: string | undefined;
}

export const receiptPage: Command = defineCommand<ReceiptPageSettings>({
  name: "receipt page",
  summary: "Writes a page that verifies receipts in a browser: one file, which asks no network.",
  options: {
    out: textOption({ flag: "out", placeholder: "FILE", meaning: "the file to write", default: undefined }),
  },
  run: async ({ out }) => {
    if (out === undefined) throw new ClawError("E_USAGE", "claw receipt page needs --out FILE.");
    const page = await makePage();
    try {
      writeFileSync(out, page);
    } catch (cause) {
      throw new ClawError("E_FILE", `The page cannot be written to ${out}.`, { cause });
    }
    const digest = createHash("sha256").update(page).digest("hex");
    await print(`${out} verifies receipts; open it in a browser.\nSHA-256 ${digest}\n`);
  },
});

/** Errors: E_FILE where what bundles it was not installed. */
async function makePage(): Promise<string> {
  const { verifierPage } = await import("../../../tools/build-verify.ts").catch((cause: unknown) => {
    const message =
      "The page is made by a development dependency that is missing here; run npm ci without --omit.";
    throw new ClawError("E_FILE", message, { cause });
  });
  return await verifierPage();
}
