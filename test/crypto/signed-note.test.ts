/** Signed notes: the specification's own example, an independent implementation of the signatures, and bad ones. */

import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NOTE_KEY, noteVerifier, openNote, parseNote, signNote } from "../../src/crypto/mod.ts";
import { readOrMakeKey, type SigningKey, signingKey } from "../../src/ledger/mod.ts";

// The example of C2SP signed-note.
const EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE =
  "This is an example message.\n\n" +
  "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

const TEXT = "ledger.example\n3\nsZ0e1GcJvmFXlnTEjBWBqzR1H0z1EDO0fOtGz1VB5uI=\n";
const TIME = 1_764_000_000;

let folder: string;
let keys: SigningKey[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-note-"));
  keys = Object.values(NOTE_KEY).map((type) => {
    const key = readOrMakeKey(join(folder, `key-${type}`), type);
    return signingKey(key, { name: "ledger.example", type, now: () => TIME });
  });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

test("the specification's example opens, and not when a letter of it changes", () => {
  const verifier = noteVerifier(EXAMPLE_KEY);
  expect(openNote(EXAMPLE, [verifier]).text).toBe("This is an example message.\n");
  expect(codeOf(() => openNote(EXAMPLE.replace("This", "that"), [verifier]))).toBe("E_NOTE");
});

test("what the system's cryptography signs, ours verifies: Ed25519, its cosignature, ML-DSA-44", () => {
  const verifiers = keys.map(({ vkey }) => noteVerifier(vkey));
  const { verified } = openNote(signNote(TEXT, keys), verifiers);
  expect(verified).toHaveLength(3);
  for (const key of keys) {
    const other = signNote(TEXT.replace("\n3\n", "\n4\n"), [key]);
    const moved = TEXT + other.slice(other.indexOf("\n\n") + 1);
    expect(codeOf(() => openNote(moved, verifiers))).toBe("E_NOTE");
  }
});

test("signatures of unknown keys are passed over, and alone they are not enough", () => {
  const [first, second] = keys as [SigningKey, SigningKey];
  const known = [noteVerifier(first.vkey)];
  expect(openNote(signNote(TEXT, [second, first]), known).verified).toHaveLength(1);
  expect(codeOf(() => openNote(signNote(TEXT, [second]), known))).toBe("E_NOTE");
});

test("a note with any byte changed is refused or says the same", () => {
  const [key] = keys as [SigningKey];
  const note = new TextEncoder().encode(signNote(TEXT, [key]));
  const verifier = noteVerifier(key.vkey);
  let refused = 0;
  fc.assert(
    fc.property(fc.nat(note.length - 1), fc.integer({ min: 1, max: 255 }), (place, mask) => {
      const changed = note.slice();
      changed[place] = (changed[place] as number) ^ mask;
      expect(codeOf(() => openNote(changed, [verifier]))).toBe("E_NOTE");
      refused++;
    }),
    { numRuns: 500 },
  );
  expect(refused).toBe(500);
});

test("malformed notes and keys are refused with a code", () => {
  const bad = [
    "",
    "\n",
    "text\n",
    "text\n\n",
    "a\tb\n\n\u2014 x AAAAAAA=\n",
    `t\n\n${"\u2014 x AAAAAAA=\n".repeat(65)}`,
  ];
  for (const note of [...bad, EXAMPLE.slice(0, -1), "x".repeat(300_000)]) {
    expect(codeOf(() => parseNote(note))).toBe("E_NOTE");
  }
  for (const vkey of [
    "",
    "a+b+c",
    EXAMPLE_KEY.replace("530d", "530e"),
    "x+00000000+AA==",
    `${EXAMPLE_KEY}AAAA`,
  ]) {
    expect(codeOf(() => noteVerifier(vkey))).toBe("E_NOTE");
  }
});

test("key files are made for the owner alone, and refused when others may read them or they hold no key", () => {
  const path = join(folder, "key-1");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  chmodSync(path, 0o644);
  expect(codeOf(() => readOrMakeKey(path, NOTE_KEY.ED25519))).toBe("E_LEDGER");
  const empty = join(folder, "empty");
  writeFileSync(empty, "", { mode: 0o600 });
  expect(codeOf(() => readOrMakeKey(empty, NOTE_KEY.ED25519))).toBe("E_LEDGER");
  expect(codeOf(() => readOrMakeKey(join(folder, "key-6"), NOTE_KEY.ED25519))).toBe("E_LEDGER");
});
