/** I/O: asks llama.cpp, where it is installed, for the tokens of random texts. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { oracle, peerInstalled } from "../peer.ts";
import { loadTokenizer, sharedMissing, storiesPath, vectorNames, vectorPath } from "./vocabularies.ts";

const missing = sharedMissing || !peerInstalled();
const reason = missing ? " (skipped: tools/peer/node_modules or ../shared is missing)" : "";
const folder = mkdtempSync(join(tmpdir(), "tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true }));

const seed = 20262;
const paths: readonly (readonly [string, string])[] = [
  ["stories260K", storiesPath],
  ...vectorNames.map((name) => [name, vectorPath(name)] as const),
];

/** Scripts, marks, white space and digits in odd neighbourhoods, and spelled-out special tokens. */
function randomTexts(spellings: readonly string[]): string[] {
  const words = [
    "the",
    " The",
    "'ll",
    "'LL",
    "it's",
    "über",
    "漢字",
    "क्षि",
    "ไทย",
    "👩‍👩‍👧",
    "٣٤",
    "1234567",
    "½",
    "_",
    "(a)",
  ];
  const spaces = [" ", "  ", "\n", "\r\n", "\t", "\u0085", "\u00a0", "\u3000", "\uFEFF"];
  const unit = fc.oneof(
    fc.constantFrom(...words),
    fc.constantFrom(...spaces, ...spellings.slice(0, 4)),
    fc.string({ unit: "grapheme", maxLength: 4 }),
    fc.string({ unit: "grapheme-ascii", maxLength: 8 }),
  );
  const text = fc.array(unit, { minLength: 1, maxLength: 25, size: "max" }).map((units) => units.join(""));
  // The peer is handed C strings.
  return fc.sample(
    text.filter((sample) => !sample.includes("\0")),
    { seed, numRuns: 400 },
  );
}

describe.skipIf(missing)(`tokens equal llama.cpp's${reason}`, () => {
  const modes = [true, false].flatMap((special) => paths.map(([name, model]) => ({ name, model, special })));

  test.each(modes)("$name, special tokens $special", async ({ model, special }) => {
    const tokenizer = loadTokenizer(model);
    const texts = randomTexts(tokenizer.controlSpellings);
    writeFileSync(join(folder, "texts.json"), JSON.stringify(texts));
    const options = { model, texts: join(folder, "texts.json") };
    const ordinary = special ? {} : ({ "no-special": true } as const);
    const { ids } = (await oracle("tokenize", { ...options, ...ordinary })) as { ids: number[][] };
    expect(ids.length).toBe(400);
    texts.forEach((text, i) => {
      const got = [...tokenizer.encode(text, { addSpecial: special, parseSpecial: special })];
      expect(got, JSON.stringify(text)).toEqual(ids[i]);
    });
  });
});
