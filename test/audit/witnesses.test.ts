/** Witnesses of a running server: one that works, and others that are down, slow, or tell something else. */

import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { Witnesses } from "../../src/audit/witnesses.ts";
import {
  formatCheckpoint,
  NOTE_KEY,
  noteVerifier,
  openNote,
  signatureLine,
  signNote,
  utf8,
} from "../../src/crypto/mod.ts";
import {
  auditLog,
  FolderDisk,
  makeKey,
  type SigningKey,
  signingKey,
  storedInFiles,
  Witness,
  type WitnessPeer,
} from "../../src/ledger/mod.ts";
import { claw, exitOf, makeFolder, makeTinyModel, start } from "../cli/claw.ts";
import { CrashDisk } from "../ledger/crash-disk.ts";
import { MemoryTree } from "../ledger/memory-tree.ts";
import { ServeProcess } from "./serve-process.ts";
import { StreamClients } from "./stream-clients.ts";

const folder = makeFolder();
const ORIGIN = "ledger.example/witnessed";

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await what()); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`It never came to be: ${what}`);
  }
}

function newKey(name: string, type: 1 | 4 = NOTE_KEY.COSIGNATURE_ED25519): SigningKey {
  const file = join(folder, `${name.replaceAll("/", "-")}.key`);
  return signingKey(makeKey(file, type), { name, type, now: () => 1_764_000_000 });
}

/** `claw ledger witness`, once it listens. */
async function witness(
  logKey: string,
  listen: string,
): Promise<{ child: ChildProcess; url: string; vkey: string }> {
  const args = ["ledger", "witness", join(folder, "witness"), "--name", "works.example", "--logs", logKey];
  const child = start([...args, "--listen", listen]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  for await (const part of child.stdout ?? []) {
    said += part;
    const url = /listens on (http:\S+)\.\n/.exec(said)?.[1];
    if (url !== undefined) return { child, url, vkey: said.split("\n")[0] ?? "" };
  }
  throw new Error("The witness ended.");
}

/** A server of `POST /add-checkpoint` that answers as it is told. */
async function impostor(
  answer: (body: string) => string | undefined,
): Promise<{ url: string; asked: () => number }> {
  let asked = 0;
  const server: Server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    asked++;
    const said = answer(body);
    if (said !== undefined) response.end(said);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked };
}

/** An address that nobody listens on. */
async function deserted(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

interface Receipted {
  readonly server: ServeProcess;
  readonly ledger: string;
  /** The entry. */
  readonly last: number;
  /** The first of them has cosigned. */
  readonly witnesses: readonly { readonly key: string }[];
}

/** Verifies an entry's receipt by `claw receipt verify`, with one witness and with several. */
async function checkReceipt({ server, ledger, last, witnesses }: Receipted): Promise<void> {
  const receipt = join(folder, "receipt.json");
  writeFileSync(receipt, await (await fetch(`${server.url}/v1/receipts/${last}`)).text());
  const keys = join(folder, "witnesses.pub");
  writeFileSync(keys, witnesses.map(({ key }) => `${key}\n`).join(""));
  const verify = ["receipt", "verify", receipt, "--key", join(ledger, "log.pub"), "--json", "--witness"];
  const verified = await claw([...verify, witnesses[0]?.key ?? ""]);
  expect(JSON.parse(verified.stdout)).toMatchObject({ index: last, witnesses: ["works.example"] });
  expect((await claw([...verify, keys, "--witnesses-needed", "1"])).status).toBe(0);
  const two = await claw([...verify, keys, "--witnesses-needed", "2"]);
  expect({ status: two.status, stdout: two.stdout }).toEqual({ status: 1, stdout: "" });
  expect(two.stderr).toContain("1 known witnesses cosigned; 2 are asked for");
  expect((await claw([...verify, keys])).status).toBe(1);
  expect((await claw([...verify, keys, "--witnesses-needed", "5"])).status).toBe(2);
}

test("a server's checkpoints and receipts carry the cosignatures of a witness that works, whatever others do", {
  timeout: 240_000,
}, async () => {
  const model = makeTinyModel(folder);
  const ledger = join(folder, "ledger");
  mkdirSync(ledger, { mode: 0o700 });
  const made = await claw(["ledger", "keygen", join(ledger, "log.key"), "--name", ORIGIN]);
  const works = await witness(made.stdout.trim(), "127.0.0.1:0");
  const [down, slow, liar] = [newKey("down.example"), newKey("slow.example"), newKey("liar.example")];
  const never = await impostor(() => undefined);
  // It cosigns with its own key, but another tree than the one that it was shown.
  const forked = formatCheckpoint({ origin: ORIGIN, size: 1, root: new Uint8Array(32) });
  const other = await impostor(() => signatureLine(liar, liar.sign(forked)));
  const witnesses = [
    { url: works.url, key: works.vkey },
    { url: await deserted(), key: down.vkey },
    { url: never.url, key: slow.vkey },
    { url: other.url, key: liar.vkey },
  ];
  const config = join(folder, "claw.json");
  writeFileSync(config, JSON.stringify({ ledger: { name: ORIGIN, witnesses } }));
  const server = await ServeProcess.start({ model, ledger, flags: ["--config", config] });
  onTestFinished(() => server.kill());
  const of = (name: string): string => `witness="${name}.example"`;

  const clients = new StreamClients(server.url, { name: "client", lengths: [40, 40] });
  await until(() => clients.streams.filter(({ record }) => record).length >= 4);
  await clients.end();
  const last = Math.max(...clients.streams.map(({ record }) => record?.entry ?? 0));
  await until(async () => (await server.metric("ledger_witness_entries", of("works"))) > last);
  expect(await server.metric("ledger_witness_up", of("works"))).toBe(1);
  await until(() => never.asked() >= 1 && other.asked() >= 1);
  for (const name of ["down", "liar"]) {
    await until(async () => (await server.metric("ledger_witness_failures_total", of(name))) >= 1);
  }
  for (const name of ["down", "slow", "liar"]) {
    expect(await server.metric("ledger_witness_up", of(name))).toBe(0);
    expect(await server.metric("ledger_witness_entries", of(name))).toBe(0);
  }
  for (const said of ["down.example", "ECONNREFUSED", "liar.example", "does not verify"]) {
    expect(server.complaint).toContain(said);
  }

  await checkReceipt({ server, ledger, last, witnesses });
  const logKeys = readFileSync(join(ledger, "log.pub"), "utf8").trim().split("\n");
  const signed = async (): Promise<readonly string[]> => {
    const disk = new FolderDisk(join(ledger, "log"));
    return (await auditLog(storedInFiles(disk), [...logKeys, works.vkey].map(noteVerifier))).signedBy;
  };
  await until(async () => (await signed()).includes("works.example"));

  // Without it answers and checkpoints go on as before, and with it again so do cosignatures.
  const exit = exitOf(works.child);
  works.child.kill("SIGKILL");
  await exit;
  const more = new StreamClients(server.url, { name: "more", lengths: [40, 40] });
  await until(async () => (await server.metric("ledger_witness_up", of("works"))) === 0);
  const published = await server.metric("ledger_entries_published");
  await until(async () => (await server.metric("ledger_entries_published")) > published);
  await witness(made.stdout.trim(), works.url.slice("http://".length));
  await until(async () => (await server.metric("ledger_witness_up", of("works"))) === 1);
  await more.end();
  const newest = Math.max(...more.streams.map(({ record }) => record?.entry ?? 0));
  await until(async () => (await server.metric("ledger_witness_entries", of("works"))) > newest);
  expect(more.streams.filter(({ refused, broken }) => refused ?? broken)).toEqual([]);
  expect(await server.stop()).toBe(0);
});

test("an entry's checkpoint is the last of those that most witnesses cosigned", async () => {
  const logKey = newKey(ORIGIN, NOTE_KEY.ED25519);
  const tree = new MemoryTree(Array.from({ length: 40 }, (_, i) => utf8(`entry ${i}`)));
  const logs = new Map([[ORIGIN, [noteVerifier(logKey.vkey)]]]);
  const [quick, late] = [newKey("quick.example"), newKey("late.example")];
  const waiting: (() => void)[] = [];
  const peer = (signer: SigningKey, before?: () => Promise<void>): WitnessPeer => {
    const witness = new Witness({ disk: new CrashDisk(() => 0), signers: [signer], logs });
    const call = async (body: string): Promise<{ status: number; body: string }> => {
      await before?.();
      return witness.addCheckpoint(body);
    };
    return { verifier: noteVerifier(signer.vkey), call };
  };
  const held = (): Promise<void> =>
    new Promise((resolve) => {
      waiting.push(resolve);
    });
  const cosigned: string[] = [];
  const witnesses = new Witnesses({
    peers: [peer(quick), peer(late, held)],
    read: tree.reader(40),
    clock: () => performance.now(),
    onCosigned: (note) => cosigned.push(note),
    onChange: (name, error) => expect.unreachable(`${name}: ${error?.message}`),
  });
  const note = (size: number): string =>
    signNote(formatCheckpoint({ origin: ORIGIN, size, root: tree.root(size) }), [logKey]);
  const over = (index: number): readonly [number, readonly string[]] | undefined => {
    const found = witnesses.over(index);
    if (found === undefined) return undefined;
    const { text, verified } = openNote(
      found,
      [quick, late, logKey].map(({ vkey }) => noteVerifier(vkey)),
    );
    return [Number(text.split("\n")[1]), verified.map(({ name }) => name).slice(1)];
  };
  expect(over(0)).toBeUndefined();
  witnesses.ask(note(10));
  await until(() => over(5) !== undefined);
  expect(over(5)).toEqual([10, ["quick.example"]]);
  expect(over(10)).toBeUndefined();
  witnesses.ask(note(20));
  await until(() => over(15) !== undefined);
  expect(over(5)).toEqual([20, ["quick.example"]]);
  await until(() => waiting.length === 1);
  waiting.pop()?.();
  await until(() => over(5)?.[0] === 10);
  expect(over(5)).toEqual([10, ["quick.example", "late.example"]]);
  expect(over(15)).toEqual([20, ["quick.example"]]);
  witnesses.ask(note(20));
  await until(() => waiting.length === 1);
  waiting.pop()?.();
  await until(() => over(15)?.[1].length === 2);
  expect(over(5)).toEqual([20, ["quick.example", "late.example"]]);
  expect(cosigned.at(-1)).toBe(witnesses.over(5));
  expect(witnesses.counts).toEqual({
    "quick.example": { up: true, cosigned: 20, failures: 0 },
    "late.example": { up: true, cosigned: 20, failures: 0 },
  });
});
