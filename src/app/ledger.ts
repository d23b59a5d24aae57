/** I/O: the ledger of a server, and the recorder of its model. */

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { Ledger, Recorder } from "../audit/mod.ts";
import type { ServeOptions } from "../config/mod.ts";
import type { EngineInfo } from "../engine/mod.ts";
import { ARITHMETIC_VERSION } from "../kernels/mod.ts";
import { contentDigest } from "../model/mod.ts";
import type { Log, Surroundings } from "../server/mod.ts";

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
  readonly path: string;
  /** The root of its seal, where it has one. */
  readonly root: string | undefined;
  readonly info: EngineInfo;
  readonly version: string;
}

/** Undefined without a ledger. Without a seal the whole model file is read. Errors: E_FILE. */
export async function recorderOf(
  ledger: Ledger | undefined,
  { path, root, info, version }: RecordedModel,
): Promise<Recorder | undefined> {
  if (ledger === undefined) return undefined;
  const model =
    root === undefined
      ? ({ root: await contentDigest(path), source: "file-sha256" } as const)
      : ({ root, source: "seal" } as const);
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
