/** I/O: learns tokenizers, and asks llama.cpp, where it is installed, for its tokens. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readDocuments } from "../../../src/train/data/documents.ts";
import { readTokenizer, trainTokenizer } from "../../../src/train/data/tokenizer.ts";
import { oracle, peerInstalled } from "../../peer.ts";
import { corpusMissing, corpusReason, scratchFolder, smallDocuments, validPath } from "./corpus.ts";

const seed = 50_257;
const small = trainTokenizer(smallDocuments([400, 300]), { vocabulary: 310 });
const { tokenizer } = readTokenizer(small, "small");

const texts: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.string({ unit: "grapheme-ascii", maxLength: 8 }),
      fc.constantFrom(
        " the",
        " fox",
        "'tis",
        "  ",
        "\n\n",
        "\r\n",
        "\u0085",
        "\u00a0",
        "漢字",
        "٣٤",
        "<|endoftext|>",
      ),
    ),
    { maxLength: 20 },
  )
  .map((parts) => parts.join(""));

describe("a learned tokenizer", () => {
  test("encodes any text and gives it back, spelled-out control tokens included", () => {
    let characters = 0;
    fc.assert(
      fc.property(texts, (text) => {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text.toWellFormed());
        expect(ids).not.toContain(tokenizer.eos);
        characters += text.length;
      }),
      { seed, numRuns: 500 },
    );
    expect(characters).toBeGreaterThan(5000);
  });

  test("has a token for every byte, so that any bytes are the bytes of some tokens", () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    expect(bytes.map((byte) => [...tokenizer.tokenBytes(byte)])).toEqual(bytes.map((byte) => [byte]));
  });

  test("begins a sequence with the end-of-text token, which also ends it", () => {
    expect(tokenizer.bos).toBe(309);
    expect(tokenizer.eos).toBe(309);
    expect([...tokenizer.encode("a", { addSpecial: true })]).toEqual([309, 97]);
    expect([...tokenizer.encode("<|endoftext|>", { parseSpecial: true })]).toEqual([309]);
  });

  test("is a function of the text", () => {
    expect(trainTokenizer(smallDocuments([400, 300]), { vocabulary: 310 })).toEqual(small);
    expect(trainTokenizer(smallDocuments([400, 300], 2), { vocabulary: 310 })).not.toEqual(small);
  });

  test("of more tokens than the text has in it is refused with their number", () => {
    const attempt = (vocabulary: number) => () => trainTokenizer(["a b a b"], { vocabulary });
    expect(attempt(300)).toThrow("the corpus has pairs for 258 tokens");
    expect(attempt(257)).toThrow("it can be from 258 to 65536");
    expect(attempt(258)).not.toThrow();
  });
});

describe.skipIf(corpusMissing)(`a tokenizer of English${corpusReason}`, () => {
  const bytes = corpusMissing ? small : trainTokenizer(readDocuments(validPath), { vocabulary: 2048 });
  const english = readTokenizer(bytes, "english").tokenizer;

  test("takes over three bytes a token", () => {
    let [tokens, size] = [0, 0];
    for (const document of readDocuments(validPath)) {
      const ids = english.encode(document);
      expect(english.decode(ids)).toBe(document);
      tokens += ids.length;
      size += Buffer.byteLength(document);
    }
    expect(size / tokens).toBeGreaterThan(3);
  });

  const noPeer = peerInstalled() ? "" : " (skipped: tools/peer/node_modules is missing)";
  test.skipIf(noPeer !== "")(`gives llama.cpp's tokens${noPeer}`, async () => {
    const folder = scratchFolder();
    const model = join(folder, "tokenizer.gguf");
    writeFileSync(model, bytes);
    // The peer is handed C strings.
    const made = fc.sample(
      texts.filter((text) => text.isWellFormed() && !text.includes("\0")),
      { seed, numRuns: 400 },
    );
    const [document = ""] = readDocuments(validPath);
    const all = [...made, document.slice(0, 50_000)];
    for (const special of [true, false]) {
      writeFileSync(join(folder, "texts.json"), JSON.stringify(all));
      const options = { model, texts: join(folder, "texts.json") };
      const said = await oracle("tokenize", special ? options : { ...options, "no-special": true });
      const { ids } = said as { ids: number[][] };
      expect(ids.length).toBe(401);
      all.forEach((text, i) => {
        const got = english.encode(text, { addSpecial: special, parseSpecial: special });
        expect([...got], JSON.stringify(text.slice(0, 200))).toEqual(ids[i]);
      });
    }
  });
});
