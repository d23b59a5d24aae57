/** I/O: root keys, tokens and a worker for the tests of capability tokens. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadBiscuit } from "../../src/capability/biscuit.ts";
import {
  AuthorizerThread,
  Capabilities,
  mint,
  type Operation,
  type Restrictions,
  SpendingAccounts,
  type SpentStore,
  TokenFolder,
} from "../../src/capability/mod.ts";

export const completionOn = (model: string): Operation => ({
  kind: "inference",
  endpoint: "/v1/completions",
  models: [model],
  adapters: [],
  tools: [],
});

export const nowhere: SpentStore = { read: () => new Map(), note: () => {}, close: () => {} };

export interface Bench {
  readonly folder: TokenFolder;
  readonly capabilities: Capabilities;
  /** Seconds since 1970; may be set. */
  clock: { now: number };
  mint(restrictions?: Restrictions): Promise<string>;
  close(): Promise<void>;
}

/** Capabilities with a worker of their own and one root key; tokens may do everything with the model `tiny`. */
export async function makeBench(): Promise<Bench> {
  const path = mkdtempSync(join(tmpdir(), "claw-tokens-"));
  const folder = new TokenFolder(join(path, "tokens"));
  await folder.rotate();
  const clock = { now: 1_000_000 };
  const authorizer = new AuthorizerThread(folder.publicKeys(), {
    killed: (token) => capabilities.burnt(token),
  });
  const accounts = new SpendingAccounts(nowhere);
  const capabilities = new Capabilities({ authorizer, accounts, now: () => clock.now * 1000 });
  return {
    folder,
    capabilities,
    clock,
    mint: (restrictions) => {
      const grant = { endpoints: ["*"], models: ["tiny"], adapters: [], tools: [] };
      return mint(folder.signingKey(), { tenant: "team", inference: [grant] }, restrictions);
    },
    close: async () => {
      await authorizer.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** A token with one more block of any Datalog. */
export async function appended(token: string, folder: TokenFolder, code: string): Promise<string> {
  const { Biscuit, PublicKey, SignatureAlgorithm } = await loadBiscuit();
  const [key] = folder.publicKeys();
  const hex = key?.publicKey.replace("ed25519/", "") ?? "";
  const parsed = Biscuit.fromBase64(token, PublicKey.fromString(hex, SignatureAlgorithm.Ed25519));
  const block = Biscuit.block_builder();
  block.addCode(code);
  return parsed.appendBlock(block).toBase64();
}
