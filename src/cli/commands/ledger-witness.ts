/** I/O: `claw ledger witness`: cosigns the checkpoints of logs that only grow. */

import { once } from "node:events";
import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { textOption } from "../../config/mod.ts";
import { NOTE_KEY, type NoteVerifier, noteVerifier } from "../../crypto/mod.ts";
import { createWitnessServer, FolderDisk, openWitness } from "../../ledger/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readPublicKeys } from "../public-keys.ts";
import { print } from "../terminal.ts";

interface WitnessSettings {
  readonly listen: string;
  readonly name: string;
  readonly key: string | undefined;
  readonly logs: string | undefined;
}

export const ledgerWitness: Command = defineCommand<WitnessSettings>({
  name: "ledger witness",
  summary: "Serves a witness (C2SP tlog-witness) that keeps its state in a folder.",
  operands: "FOLDER",
  operandCount: [1, 1],
  options: {
    listen: textOption({
      flag: "listen",
      placeholder: "HOST:PORT",
      meaning: "where it listens; port 0 is any free one",
      pattern: /^(?:\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}$/i,
      expected: "HOST:PORT",
      default: "127.0.0.1:7380",
    }),
    name: textOption({
      flag: "name",
      placeholder: "NAME",
      meaning: "the name of its keys",
      pattern: /^[^\s+]+$/u,
      expected: "a name without white space and +",
      default: "openclaw.local/witness",
    }),
    key: textOption({
      flag: "key",
      placeholder: "FILE",
      meaning: "its private Ed25519 key",
      default: undefined,
      otherwise: "witness.key in the folder, made at the first start",
    }),
    logs: textOption({
      flag: "logs",
      placeholder: "PUB",
      meaning:
        "public keys of the logs it knows, or a file with them, one a line; a key's name is its log's origin",
      default: undefined,
    }),
  },
  run: async ({ listen, name, key, logs }, [folder = ""]) => {
    if (logs === undefined) throw new ClawError("E_USAGE", "claw ledger witness needs --logs PUB.");
    const { witness, disk, vkeys } = await openWitness(new FolderDisk(folder), {
      name,
      keys: [
        { type: NOTE_KEY.COSIGNATURE_ED25519, path: key ?? join(folder, "witness.key") },
        { type: NOTE_KEY.COSIGNATURE_ML_DSA_44, path: join(folder, "witness-ml-dsa-44.key") },
      ],
      logs: byOrigin(readPublicKeys(logs).map(noteVerifier)),
      now: () => Math.floor(Date.now() / 1000),
    });
    const server = createWitnessServer(witness);
    try {
      const address = await server.listen(addressOf(listen)).catch((cause: unknown) => {
        throw new ClawError("E_PORT_IN_USE", `The witness cannot listen on ${listen}.`, { cause });
      });
      await print(`${vkeys.join("\n")}\nThe witness listens on ${address}.\n`);
      await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
    } finally {
      await server.close();
      await disk.close();
    }
  },
});

function byOrigin(verifiers: readonly NoteVerifier[]): Map<string, NoteVerifier[]> {
  return Map.groupBy(verifiers, ({ name }) => name);
}

function addressOf(listen: string): { readonly host: string; readonly port: number } {
  const colon = listen.lastIndexOf(":");
  const port = Number(listen.slice(colon + 1));
  if (port > 65_535) throw new ClawError("E_USAGE", `--listen is ${listen}; there is no such port.`);
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ""), port };
}
