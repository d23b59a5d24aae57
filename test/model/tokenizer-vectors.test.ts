/** Real vocabularies: published ids, round trips, streaming, and long strings. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Tokenizer } from "../../src/model/tokenizer/mod.ts";
import { ofCases } from "../long.ts";
import {
  loadTokenizer,
  readVectors,
  sharedMissing,
  sharedReason,
  storiesPath,
  vectorNames,
  vectorPath,
} from "./vocabularies.ts";

/** Letters of a text that would take minutes if time grew with its square. */
const LONG_TEXT = ofCases(2 ** 20, 0.25);

const seed = 20260;
const inverse = { stripLeadingSpace: true };

/**
 * Well-formed text that mixes words, white space, marks of several scripts and spelled-out special tokens.
 */
const textOf = (tokenizer: Tokenizer): fc.Arbitrary<string> => {
  const pieces = [
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "'ll",
    "'S",
    "the",
    "123",
    "4",
    "été",
    "漢字",
    "👩‍👩‍👧",
    "\u0085",
    "\uFEFF",
  ];
  const unit = fc.oneof(
    fc.constantFrom(...pieces, ...tokenizer.controlSpellings.slice(0, 3)),
    fc.string({ unit: "binary", maxLength: 3 }),
    fc.string({ unit: "grapheme", maxLength: 3 }),
  );
  // U+2581 is how SentencePiece spells a space, so it cannot come back as itself.
  return fc
    .array(unit, { maxLength: 30, size: "max" })
    .map((units) => units.join("").replaceAll("\u2581", ""));
};

describe.skipIf(sharedMissing)(`published vocabularies${sharedReason}`, () => {
  describe.each(vectorNames)("%s", (name) => {
    const load = (): Tokenizer => loadTokenizer(vectorPath(name));

    test("gives the published ids", () => {
      const vectors = readVectors(name);
      expect(vectors.length).toBeGreaterThan(40);
      for (const { text, ids } of vectors)
        expect([...load().encode(text)], JSON.stringify(text)).toEqual(ids);
    });

    test("decodes what it encoded", () => {
      const tokenizer = load();
      let withSpecial = 0;
      const property = fc.property(textOf(tokenizer), fc.boolean(), (text, parseSpecial) => {
        const ids = tokenizer.encode(text, { parseSpecial });
        if (ids.some((id) => tokenizer.isControl(id))) withSpecial++;
        expect(tokenizer.decode(ids, inverse)).toBe(text);
      });
      fc.assert(property, { seed, numRuns: 400 });
      expect(withSpecial).toBeGreaterThan(20);
    });

    test("streams any ids as the whole decodes, and holds back unfinished characters", () => {
      const tokenizer = load();
      // Byte-level vocabularies hold half characters as well as their byte tokens; SentencePiece only the latter.
      const anyId = fc.oneof(fc.nat(tokenizer.vocabularySize - 1), fc.integer({ min: 94, max: 258 }));
      let held = 0;
      const property = fc.property(fc.array(anyId, { maxLength: 60, size: "max" }), (ids) => {
        const stream = tokenizer.detokenizer();
        let text = "";
        for (const id of ids) {
          const part = stream.push(id);
          if (part === "" && tokenizer.tokenBytes(id).length > 0) held++;
          text += part;
        }
        text += stream.end();
        const bytes = Buffer.concat(ids.map((id) => tokenizer.tokenBytes(id)));
        expect(text).toBe(tokenizer.decode(ids));
        expect(text).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
      });
      fc.assert(property, { seed, numRuns: 300 });
      expect(held).toBeGreaterThan(300);
    });

    test("never splits a character that spans tokens", () => {
      const tokenizer = load();
      let split = 0;
      const property = fc.property(fc.string({ unit: "binary", maxLength: 40, size: "max" }), (text) => {
        const ids = tokenizer.encode(text.replaceAll("\uFFFD", ""));
        const stream = tokenizer.detokenizer();
        for (const id of ids) {
          const part = stream.push(id);
          if (part === "") split++;
          expect(part).not.toContain("\uFFFD");
        }
        expect(stream.end()).toBe("");
      });
      fc.assert(property, { seed, numRuns: 200 });
      expect(split).toBeGreaterThan(500);
    });

    test.each(["a", " ", "\n", "7", " a\n", "\u0301", "😀"])(
      `tokenizes ${LONG_TEXT / 1024} Ki of %j in seconds`,
      (unit) => {
        const text = unit.repeat(LONG_TEXT / unit.length);
        const started = performance.now();
        const ids = load().encode(text, { parseSpecial: true });
        expect(performance.now() - started).toBeLessThan(20_000);
        expect(load().decode(ids, inverse) === text).toBe(true);
      },
    );
  });

  test("knows the ends of the published vocabularies", () => {
    const ends = vectorNames.map((name) => {
      const tokenizer = loadTokenizer(vectorPath(name));
      return [tokenizer.addBos, [...tokenizer.endTokens].map((id) => tokenizer.tokenText(id))];
    });
    expect(ends).toEqual([
      [true, ["</s>"]],
      [true, ["<|end_of_text|>", "<|eot_id|>"]],
      [false, ["<|endoftext|>", "<|im_end|>"]],
    ]);
  });

  test("refuses a word of many millions of characters, and takes as many in words", () => {
    const tokenizer = loadTokenizer(vectorPath("qwen2"));
    expect(() => tokenizer.encode("漢".repeat(2 ** 23))).toThrow(
      expect.objectContaining({ code: "E_CONTEXT" }),
    );
    expect(tokenizer.encode(" word".repeat(2 ** 20)).length).toBe(2 ** 20);
  });

  test("tokenizes a story for stories260K", () => {
    const tokenizer = loadTokenizer(storiesPath);
    expect([...tokenizer.encode("Once upon a time", { addSpecial: true })]).toEqual([1, 403, 407, 261, 378]);
    expect(tokenizer.decode([1, 403, 407, 261, 378], { skipSpecial: true })).toBe(" Once upon a time");
    expect(tokenizer.decode([1, 403, 407, 261, 378])).toBe("<s> Once upon a time");
    expect(tokenizer.decode([403, 407], inverse)).toBe("Once upon");
    expect(tokenizer.kind).toBe("spm");
    expect(tokenizer.vocabularySize).toBe(512);
  });
});
