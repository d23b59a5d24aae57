/** How a process comes to the control plane: with TLS and credentials, and with files that nobody else may read. */

import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ControlAccess, makeClusterSecret, openControl } from "../../src/cluster/mod.ts";
import { makeFolder } from "../cli/claw.ts";
import { Authority, type Certificate, opensslHere } from "./certificates.ts";
import { NatsServer, natsHere } from "./nats-server.ts";

const folder = makeFolder();
const file = (name: string, text: string, mode = 0o600): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};
const secretFile = join(folder, "secret");
makeClusterSecret(secretFile);

const plain = { secretFile, bucket: "control", credentialsFile: undefined } as const;
const noTls = { tlsCa: undefined, tlsCert: undefined, tlsKey: undefined } as const;

async function attempt(access: ControlAccess): Promise<string> {
  try {
    const { store, secret } = await openControl(access);
    await store.write({ key: `k${Math.random()}`, value: secret, expected: 0 });
    await store.close();
    return "open";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

describe("the cluster's secret", () => {
  test("is made once, for its owner alone, and never over another", () => {
    expect(readFileSync(secretFile, "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
    expect(statSync(secretFile).mode & 0o777).toBe(0o600);
    const before = readFileSync(secretFile, "utf8");
    expect(() => makeClusterSecret(secretFile)).toThrow(expect.objectContaining({ code: "E_CLUSTER_KEY" }));
    expect(readFileSync(secretFile, "utf8")).toBe(before);
  });

  test.each([
    { what: "that others may read", text: `${"ab".repeat(32)}\n`, mode: 0o644 },
    { what: "that is too short", text: "abcd\n", mode: 0o600 },
    { what: "that is no number", text: "x".repeat(64), mode: 0o600 },
    { what: "that is empty", text: "", mode: 0o600 },
  ])("a file $what is refused", async ({ text, mode }) => {
    const access = { ...plain, ...noTls, control: "127.0.0.1:1", secretFile: file("bad", text, mode) };
    expect(await attempt(access)).toBe("E_CLUSTER_KEY");
  });

  test("a missing file, and places that are none, are refused before anything is asked", async () => {
    const access = { ...plain, ...noTls, control: "127.0.0.1:1" };
    expect(await attempt({ ...access, secretFile: join(folder, "nowhere") })).toBe("E_CLUSTER_KEY");
    for (const control of ["http://127.0.0.1:4222", "", "nats://user:pass@127.0.0.1:1", "a b"]) {
      expect(await attempt({ ...access, control }), control).toBe("E_USAGE");
    }
    expect(await attempt({ ...access, tlsCert: secretFile })).toBe("E_USAGE");
    expect(await attempt({ ...access, tlsCa: join(folder, "nowhere") })).toBe("E_FILE");
    expect(await attempt(access)).toBe("E_CONTROL");
  });
});

const canSecure = natsHere && opensslHere;
const reason = canSecure ? "" : " (skipped: nats-server or openssl is not installed)";

describe.skipIf(!canSecure)(`NATS over TLS, with certificates and passwords${reason}`, () => {
  let authority: Authority;
  let client: Certificate;
  let secure: NatsServer;
  let open: NatsServer;

  beforeAll(async () => {
    authority = new Authority(folder);
    const server = authority.sign("server");
    client = authority.sign("client");
    const tls = ["--tls", "--tlscert", server.cert, "--tlskey", server.key, "--tlsverify"];
    secure = new NatsServer([...tls, "--tlscacert", authority.ca, "--user", "claw", "--pass", "s3cret"]);
    open = new NatsServer();
    await Promise.all([secure.start(), open.start()]);
  });

  afterAll(() => Promise.all([secure.remove(), open.remove()]));

  const whole = (): ControlAccess => ({
    ...plain,
    control: `tls://127.0.0.1:${secure.port}`,
    credentialsFile: file("credentials", "claw:s3cret\n"),
    tlsCa: authority.ca,
    tlsCert: client.cert,
    tlsKey: client.key,
  });

  test("takes whoever has all of them", async () => {
    expect(await attempt(whole())).toBe("open");
  });

  test("refuses another's certificate, none, a wrong password, none, and another authority's server", async () => {
    const other = new Authority(folder, "other");
    const stranger = other.sign("stranger");
    const refused: ControlAccess[] = [
      { ...whole(), tlsCert: stranger.cert, tlsKey: stranger.key },
      { ...whole(), tlsCert: undefined, tlsKey: undefined },
      { ...whole(), credentialsFile: file("wrong", "claw:secret") },
      { ...whole(), credentialsFile: undefined },
      { ...whole(), tlsCa: other.ca },
      { ...whole(), control: `nats://127.0.0.1:${secure.port}`, ...noTls },
    ];
    for (const access of refused) expect(await attempt(access)).toBe("E_CONTROL");
  });

  test("a server without TLS is refused where TLS is wanted, and taken where it is not", async () => {
    const control = `tls://127.0.0.1:${open.port}`;
    expect(await attempt({ ...plain, ...noTls, control })).toBe("E_CONTROL");
    const bare = `nats://127.0.0.1:${open.port}`;
    expect(await attempt({ ...plain, ...noTls, control: bare, tlsCa: authority.ca })).toBe("E_CONTROL");
    expect(await attempt({ ...plain, ...noTls, control: bare })).toBe("open");
  });

  test("keys and credentials that others may read are refused", async () => {
    chmodSync(client.key, 0o640);
    expect(await attempt(whole())).toBe("E_CLUSTER_KEY");
    chmodSync(client.key, 0o600);
    const credentialsFile = file("open credentials", "claw:s3cret\n", 0o604);
    expect(await attempt({ ...whole(), credentialsFile })).toBe("E_CLUSTER_KEY");
  });
});
