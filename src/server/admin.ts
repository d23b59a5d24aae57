/** `/admin`: the settings in force, a way to change them while the server runs, and capability tokens revoked. */

import { ClawError } from "../base/mod.ts";
import { type ChangeReport, type Configuration, readConfig, type ServeOptions } from "../config/mod.ts";
import { LOADING_RETRY_SECONDS, REVOCATIONS_MAX } from "./limits.ts";

/** Digits of a key's digest that are shown: enough to tell keys apart. */
const DIGEST_SHOWN = 8;

export interface Administration {
  readonly configuration: Configuration<ServeOptions>;
  /** The configuration file; undefined: there is none. */
  readonly file: string | undefined;
  /** Where paths in what is sent begin. */
  readonly folder: string;
  readonly isReady: () => boolean;
  /** Revokes capability tokens; how many ids are new, and how many streams ended. Undefined: tokens are not taken. */
  readonly revoke?: ((ids: readonly string[]) => object) | undefined;
}

/** What `GET /admin/config` answers. */
export function describeConfiguration({ configuration, file }: Administration): object {
  const options = Object.entries(configuration.report()).map(([name, report]) => {
    const { afterRestart, ...rest } = report;
    const later = afterRestart === undefined ? {} : { after_restart: redacted(name, afterRestart) };
    return [name, { ...rest, value: redacted(name, rest.value), ...later }] as const;
  });
  return { file: file ?? null, options: Object.fromEntries(options) };
}

/** Puts a document over file and flags until the server ends. Errors: E_CONFIG, E_LOADING, and the engine's. */
export async function putConfiguration(
  document: unknown,
  { configuration, folder, isReady }: Administration,
): Promise<object> {
  const values = readConfig(document, { what: "The configuration", folder });
  if (isReady()) return describeChange(await configuration.replace("admin", values));
  const options = { retryAfterSeconds: LOADING_RETRY_SECONDS };
  throw new ClawError("E_LOADING", "The configuration can change when the model is loaded.", options);
}

/** The ids that `POST /admin/revocations` sends as `{"ids":[…]}`. Errors: E_JSON, E_PARAMETER. */
export function readRevocations(body: unknown): readonly string[] {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ClawError("E_JSON", "The body of the request is not a JSON object.");
  }
  const { ids, ...others } = body as { readonly ids?: unknown };
  const [other] = Object.keys(others);
  if (other !== undefined) {
    throw new ClawError("E_PARAMETER", `${JSON.stringify(other.slice(0, 60))} is not known; \`ids\` is.`);
  }
  const isList = Array.isArray(ids) && ids.every((id): id is string => typeof id === "string");
  if (isList && ids.length > 0 && ids.length <= REVOCATIONS_MAX) return ids;
  const expected = `an array of 1 to ${REVOCATIONS_MAX} revocation ids was expected`;
  throw new ClawError("E_PARAMETER", `The parameter ids is not valid: ${expected}.`, { param: "ids" });
}

/** A change, field by field, as answers and the log show it. */
export function describeChange({ applied, needRestart }: ChangeReport): object {
  const shown = (changes: ChangeReport["applied"]): object[] => {
    return changes.map(({ name, from, to }) => ({
      name,
      from: redacted(name, from),
      to: redacted(name, to),
    }));
  };
  return { applied: shown(applied), needs_restart: shown(needRestart) };
}

/** Digests of keys cut short: enough to tell keys apart. */
function redacted(name: string, value: unknown): unknown {
  if (name !== "api_keys" || !Array.isArray(value)) return value;
  return (value as ServeOptions["apiKeys"]).map(({ tenant, keyFile, keySha256, scopes, priorityMin }) => ({
    tenant,
    ...(keyFile === undefined ? {} : { key_file: keyFile }),
    ...(keySha256 === undefined ? {} : { key_sha256: `${keySha256.slice(0, DIGEST_SHOWN)}…` }),
    scopes,
    priority_min: priorityMin,
  }));
}
