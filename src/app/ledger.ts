/** I/O: the ledger of a server, and the recorder of its model. */

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { Ledger, Recorder } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import type { ServeOptions } from "../config/mod.ts";
import type { EngineInfo } from "../engine/mod.ts";
import { ARITHMETIC_VERSION } from "../kernels/mod.ts";
import type { Log, Surroundings } from "../server/mod.ts";
import type { ServedRoot } from "./model-root.ts";

/** Undefined where none is configured. Errors: E_LEDGER, E_NOTE. */
export async function openLedger(
  { ledgerFolder: folder, ledgerName: origin, ledgerRetentionDays: retentionDays }: ServeOptions,
  clocks: Pick<Surroundings, "now" | "clock">,
  log: Log,
): Promise<Ledger | undefined> {
  if (folder === undefined) return undefined;
  const onError = ({ code, message, remedy }: { code: string; message: string; remedy: string }): void =>
    log.error({ ledger: folder, code, reason: `${message} ${remedy}` }, "The ledger cannot be written to.");
  return await Ledger.open({ folder, origin, retentionDays, clocks, onError });
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
