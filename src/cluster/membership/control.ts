/** I/O: how a process comes to a cluster: the control plane's address, and files with secrets that only their owner may read. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { attempt, makeSecretFile, readSecretFile } from "../../base/files/mod.ts";
import { ClawError } from "../../base/mod.ts";
import { fromHex, toHex } from "../../crypto/mod.ts";
import { SECRET_BYTES } from "../link/mod.ts";
import { type NatsOptions, openNatsStore } from "./nats-store.ts";
import type { ControlStore } from "./store.ts";

/** Paths are of files. */
export interface ControlAccess {
  /** `nats://host:port`, or `tls://host:port`; several after commas. */
  readonly control: string;
  /** Of the cluster's secret. */
  readonly secretFile: string;
  readonly bucket: string;
  /** A NATS user's credentials, `name:password`, or a token. */
  readonly credentialsFile: string | undefined;
  /** Whose certificates are taken; undefined: the system's. */
  readonly tlsCa: string | undefined;
  /** This process's own certificate and its key, both or neither. */
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

export interface Control {
  readonly store: ControlStore;
  /** SECRET_BYTES bytes. */
  readonly secret: Uint8Array;
}

/** E_CONTROL where it cannot be reached, E_CLUSTER_KEY where a secret is missing or open to others, E_FILE, E_USAGE. */
export async function openControl(access: ControlAccess): Promise<Control> {
  const secret = readClusterSecret(access.secretFile);
  return { store: await openNatsStore(natsOptions(access)), secret };
}

/** Writes a new secret for a cluster; E_CLUSTER_KEY where the file is there already. E_FILE. */
export function makeClusterSecret(path: string): void {
  const content = (): string => `${toHex(randomBytes(SECRET_BYTES))}\n`;
  const made = attempt(`Cannot write ${path}`, () => makeSecretFile(path, content));
  if (!made) throw new ClawError("E_CLUSTER_KEY", `${path} is there already, and stays.`);
}

/** E_CLUSTER_KEY. */
export function readClusterSecret(path: string): Uint8Array {
  const text = readSecretFile(path, "The cluster's secret", "E_CLUSTER_KEY").trim();
  const secret = fromHex(text);
  if (secret?.length === SECRET_BYTES) return secret;
  const expected = `${2 * SECRET_BYTES} hexadecimal digits were expected`;
  throw new ClawError(
    "E_CLUSTER_KEY",
    `The cluster's secret ${path} has ${text.length} letters; ${expected}.`,
  );
}

/** Errors: E_CLUSTER_KEY, E_FILE, E_USAGE. */
export function natsOptions(access: ControlAccess): NatsOptions {
  const { control, bucket, credentialsFile, tlsCa, tlsCert, tlsKey } = access;
  const urls = control.split(",").map((text) => serverOf(text.trim()));
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new ClawError("E_USAGE", "A certificate for the control plane and its key are given together.");
  }
  const secure = tlsCa !== undefined || tlsCert !== undefined || urls.some(({ tls }) => tls);
  const credentials =
    credentialsFile && readSecretFile(credentialsFile, "The control plane's credentials", "E_CLUSTER_KEY");
  return {
    servers: urls.map(({ server }) => server),
    bucket,
    credentials: credentials?.trim(),
    tls: secure ? tlsOptions(tlsCa, tlsCert, tlsKey) : undefined,
  };
}

function tlsOptions(
  ca: string | undefined,
  cert: string | undefined,
  key: string | undefined,
): NonNullable<NatsOptions["tls"]> {
  const read = (path: string): string => attempt(`Cannot read ${path}`, () => readFileSync(path, "utf8"));
  return {
    ca: ca && read(ca),
    cert: cert && read(cert),
    key: key && readSecretFile(key, "The key of the control plane's certificate", "E_CLUSTER_KEY"),
  };
}

function serverOf(text: string): { readonly server: string; readonly tls: boolean } {
  const [, scheme, server] = /^(?:(nats|tls):\/\/)?([^/@\s]+)$/.exec(text) ?? [];
  if (server !== undefined) return { server, tls: scheme === "tls" };
  const expected = "nats://HOST:PORT or tls://HOST:PORT was expected";
  throw new ClawError("E_USAGE", `The control plane is at ${JSON.stringify(text)}; ${expected}.`);
}
