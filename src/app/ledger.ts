/** I/O: the ledger of a server, and the recorder of its model. */

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { databaseUrl, Ledger, Recorder } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import type { ServeOptions } from "../config/mod.ts";
import type { EngineInfo } from "../engine/mod.ts";
import { ARITHMETIC_VERSION } from "../kernels/mod.ts";
import type { Log, Surroundings } from "../server/mod.ts";
import type { ServedRoot } from "./model-root.ts";

/** Undefined where none is configured. Errors: E_CONFIG, E_LEDGER, E_LEDGER_UNSAFE, E_NOTE. */
export async function openLedger(
  options: ServeOptions,
  clocks: Pick<Surroundings, "now" | "clock">,
  log: Log,
): Promise<Ledger | undefined> {
  const { ledgerFolder: folder, ledgerName: origin, ledgerRetentionDays: retentionDays } = options;
  const postgres = databaseUrl(options);
  if (folder === undefined) {
    if (postgres === undefined) return undefined;
    throw new ClawError(
      "E_CONFIG",
      "ledger.postgres needs ledger.folder too: it holds the keys and the vault.",
    );
  }
  const onError = ({ code, message, remedy }: { code: string; message: string; remedy: string }): void =>
    log.error({ ledger: folder, code, reason: `${message} ${remedy}` }, "The ledger cannot be written to.");
  const onWitness = (witness: string, error?: ClawError): void => {
    if (error === undefined) log.info({ witness }, "A witness cosigns again.");
    else log.warn({ witness, code: error.code, reason: error.message }, "A witness does not cosign.");
  };
  const { ledgerWitnesses: witnesses } = options;
  const settings = { folder, origin, postgres, retentionDays, witnesses };
  return await Ledger.open({ ...settings, clocks, onError, onWitness });
}

interface RecordedModel {
  readonly root: ServedRoot;
  readonly info: EngineInfo;
  readonly version: string;
}

/** Undefined without a ledger. Errors: E_FILE for a model that has no root. */
export async function recorderOf(
  ledger: Ledger | undefined,
  { root, info, version }: RecordedModel,
): Promise<Recorder | undefined> {
  if (ledger === undefined) return undefined;
  const model = await root.find();
  if (model === undefined) {
    throw new ClawError(
      "E_FILE",
      "The model file was changed while it was read, so the ledger cannot say which model answers; start again.",
    );
  }
  const engine = {
    version,
    format: info.format,
    kv_format: info.kvFormat,
    arithmetic: ARITHMETIC_VERSION,
  };
  const { timeline } = ledger;
  return new Recorder({
    store: ledger,
    timeline,
    random: randomBytes,
    computes: { model, engine, nodes: [hostname()] },
  });
}
