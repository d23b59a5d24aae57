/**
 * Small vocabularies made up here: merge order against a slow model, special tokens, and metadata that
 * contradicts itself.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createTokenizer, type Tokenizer } from "../../src/model/tokenizer/mod.ts";
import { bpeValues, byteLetters, metadataOf, spmValues, type Values } from "./vocabularies.ts";

const seed = 20261;
const make = (values: Values): Tokenizer => createTokenizer(metadataOf(values));
const spell = (tokenizer: Tokenizer, ids: Iterable<number>): string[] =>
  [...ids].map((id) => tokenizer.tokenText(id));

/**
 * Joins the best pair, the leftmost of the best, until none is left; `rankOf` is lower for better. Quadratic.
 */
function joinSlowly(symbols: readonly string[], rankOf: (left: string, right: string) => number): string[] {
  const list = [...symbols];
  for (;;) {
    const ranks = list.slice(1).map((right, i) => rankOf(list[i]!, right));
    const best = Math.min(...ranks);
    if (best === Number.POSITIVE_INFINITY) return list;
    const at = ranks.indexOf(best);
    list.splice(at, 2, list[at]! + list[at + 1]!);
  }
}

const shortText = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 40, size: "max" });
const pieces = fc.uniqueArray(
  fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 2, maxLength: 6 }),
  {
    minLength: 3,
    maxLength: 25,
    size: "max",
  },
);

describe("merge order", () => {
  test("SentencePiece joins the best score first, the leftmost among equals", () => {
    let joined = 0;
    const vocabulary = pieces.chain((list) =>
      fc
        .array(fc.integer({ min: -3, max: 3 }), { minLength: list.length, maxLength: list.length })
        .map((scores) => ({
          a: 0,
          b: 0,
          c: 0,
          ...Object.fromEntries(list.map((piece, i) => [piece, scores[i]!])),
        })),
    );
    const property = fc.property(vocabulary, shortText, (scores: Record<string, number>, text) => {
      const tokenizer = make({ ...spmValues(scores), add_space_prefix: false });
      const expected = joinSlowly(
        [...text],
        (left, right) => -(scores[left + right] ?? Number.NEGATIVE_INFINITY),
      );
      joined += text.length - expected.length;
      expect(spell(tokenizer, tokenizer.encode(text))).toEqual(expected);
    });
    fc.assert(property, { seed, numRuns: 500 });
    expect(joined).toBeGreaterThan(1000);
  });

  test("byte-level BPE joins by rank, the leftmost among equals", () => {
    let joined = 0;
    // Each merge joins two of the tokens made so far.
    const grown = fc
      .array(fc.tuple(fc.nat(), fc.nat()), { minLength: 3, maxLength: 25, size: "max" })
      .map((picks) => {
        const tokens = ["a", "b", "c"];
        const merges = picks.map(([left, right]) => {
          const pair = [tokens[left % tokens.length]!, tokens[right % tokens.length]!];
          if (pair.join("").length < 12) tokens.push(pair.join(""));
          return pair;
        });
        return merges.filter((pair) => pair.join("").length < 12).map((pair) => pair.join(" "));
      });
    const property = fc.property(grown, shortText, (merges, text) => {
      const tokenizer = make(bpeValues(merges));
      const expected = joinSlowly([...text], (left, right) => {
        const rank = merges.indexOf(`${left} ${right}`);
        return rank < 0 ? Number.POSITIVE_INFINITY : rank;
      });
      joined += text.length - expected.length;
      expect(spell(tokenizer, tokenizer.encode(text))).toEqual(expected);
    });
    fc.assert(property, { seed, numRuns: 500 });
    expect(joined).toBeGreaterThan(1000);
  });

  test("only llama-bpe takes a word that is a token whole", () => {
    const values = bpeValues(["a b", "ab c", "d e"]);
    const tokens = [...(values["tokens"] as string[]), "cab"];
    const known = { ...values, tokens, token_type: tokens.map(() => 1) };
    const spelled = (pre: string): string[] => {
      const tokenizer = make({ ...known, pre });
      return spell(tokenizer, tokenizer.encode("cab"));
    };
    expect(spelled("llama-bpe")).toEqual(["cab"]);
    expect(spelled("qwen2")).toEqual(["c", "ab"]);
  });
});

describe("pre-tokenizers", () => {
  /** Spaces show as `Ġ`, line ends as `Ċ`; without merges between words the words are the longest tokens. */
  const words = (pre: string, text: string): string[] => {
    const letters = [...text].map((letter) => byteLetters[letter.charCodeAt(0)]!);
    const merges = letters.flatMap((_, from) =>
      letters.slice(from + 1).map((letter, i) => `${letters.slice(from, from + i + 1).join("")} ${letter}`),
    );
    const tokenizer = make({ ...bpeValues([...new Set(merges)]), pre });
    return spell(tokenizer, tokenizer.encode(text)).map((word) =>
      word.replaceAll("Ġ", " ").replaceAll("Ċ", "\n"),
    );
  };

  test.each([
    ["gpt-2", ["I", "'ll", " pay", " 1234", "!!", "\n\n  ", " x"]],
    ["smollm", ["I", "'ll", " pay", " ", "1", "2", "3", "4", "!!", "\n\n  ", " x"]],
    ["qwen2", ["I", "'ll", " pay", " ", "1", "2", "3", "4", "!!\n\n", "  ", " x"]],
    ["llama-bpe", ["I", "'ll", " pay", " ", "123", "4", "!!\n\n", "  ", " x"]],
    ["default", ["I", "'", "ll", " pay", " ", "123", "4", "!!", "\n\n  ", " x"]],
  ])("%s cuts words", (pre, expected) => {
    const text = "I'll pay 1234!!\n\n   x";
    expect(expected.join("")).toBe(text);
    const found = words(pre, text);
    expect(found).toEqual(expected);
  });
});

const chat = bpeValues(["a b"], ["<|a|>", "<|a|>b", "<|im_end|>", "<|start|>"]);
const id = (values: Values, spelling: string): number => (values["tokens"] as string[]).indexOf(spelling);

describe("special tokens", () => {
  test("are parsed only when asked, the longest spelling first", () => {
    const tokenizer = make(chat);
    const parsed = tokenizer.encode("ab<|a|>b<|a|>", { parseSpecial: true });
    expect(spell(tokenizer, parsed)).toEqual(["ab", "<|a|>b", "<|a|>"]);
    expect(spell(tokenizer, tokenizer.encode("<|a|>"))).toEqual([..."<|a|>"]);
    expect(tokenizer.decode(parsed, { skipSpecial: true })).toBe("ab");
    expect(tokenizer.decode(parsed)).toBe("ab<|a|>b<|a|>");
    expect(tokenizer.isControl(parsed[1]!)).toBe(true);
    expect(tokenizer.controlSpellings).toEqual(["<|a|>", "<|a|>b", "<|im_end|>", "<|start|>"]);
    expect([...tokenizer.endTokens]).toEqual([id(chat, "<|im_end|>")]);
  });

  test("user-defined ones are found in any text, and SentencePiece starts afresh after them", () => {
    const tokenizer = make(spmValues({ "▁": -1, a: -2, "▁a": -3, "<tool>": 0 }, { "<tool>": 4 }));
    const ids = tokenizer.encode("a<tool>a</s> a");
    expect(spell(tokenizer, ids).slice(0, 3)).toEqual(["▁a", "<tool>", "▁a"]);
    expect(ids.includes(2)).toBe(false);
    expect(tokenizer.decode(ids, { stripLeadingSpace: true })).toBe("a<tool>a</s> a");
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(" a<tool> a</s> a");
  });

  test("text never merges into a control token", () => {
    const tokenizer = make(spmValues({ "</": 1, "s>": 1, "<": 0, "/": 0, s: 0, ">": 0 }));
    expect([...tokenizer.encode("</s>")]).not.toContain(2);
    expect([...tokenizer.encode("</s>", { parseSpecial: true })]).toEqual([2]);
  });

  test("pieces not marked special are text, and tokenize with their neighbours", () => {
    const tokenizer = make(chat);
    const pieces = [
      { text: "<|start|>a", special: true },
      { text: "b<|im_end|>", special: false },
      { text: "<|im_end|>", special: true },
    ];
    const ids = tokenizer.encode(pieces, { parseSpecial: true });
    expect(spell(tokenizer, ids)).toEqual(["<|start|>", "ab", ..."<|im_end|>", "<|im_end|>"]);
  });

  test("begin and end a sequence as the file says", () => {
    const values = spmValues({ "▁": -1, a: -2 });
    const around = (extra: Values): number[] => {
      const ids = [...make({ ...values, ...extra }).encode("a", { addSpecial: true })];
      return [ids[0]!, ids.at(-1)!];
    };
    const a = id(values, "a");
    expect(around({})).toEqual([1, a]);
    expect(around({ bos_token_id: undefined, eos_token_id: 0xffffffff })).toEqual([1, a]);
    expect(around({ add_bos_token: false, add_eos_token: true })[1]).toBe(2);
    expect(around({ add_bos_token: false })[0]).not.toBe(1);
    const llama = { ...chat, pre: "llama-bpe", bos_token_id: id(chat, "<|start|>") };
    expect(make(llama).addBos).toBe(true);
    expect(make({ ...llama, add_bos_token: false }).addBos).toBe(false);
    expect(make({ ...llama, pre: "qwen2" }).addBos).toBe(false);
  });

  test("a lone surrogate counts as U+FFFD; U+2581 comes back as a space", () => {
    const bpe = make(chat);
    const spm = make(spmValues({ "▁": -1 }));
    for (const tokenizer of [bpe, spm]) {
      expect(tokenizer.decode(tokenizer.encode("\ud83dx"), { stripLeadingSpace: true })).toBe("\uFFFDx");
    }
    expect(bpe.decode(bpe.encode("▁"))).toBe("▁");
    expect(spm.decode(spm.encode("▁"), { stripLeadingSpace: true })).toBe(" ");
  });

  test("a file without types knows bytes by their spelling and special tokens by their ids", () => {
    const tokenizer = make({ ...spmValues({ "▁": -1 }), token_type: undefined });
    expect([...tokenizer.tokenBytes(3 + 0xe9)]).toEqual([0xe9]);
    expect(tokenizer.decode([1, 3 + 0x41, 0], { skipSpecial: true })).toBe("A");
  });
});

describe("metadata that cannot be used is refused with E_TOKENIZER", () => {
  const spm = spmValues({ "▁": -1, a: -2 });
  const tokens = spm["tokens"] as string[];
  const bpe = bpeValues(["a b"]);
  const cases: [string, Values, RegExp][] = [
    ["no model", { ...spm, model: undefined }, /tokenizer\.ggml\.model: it is missing/],
    ["another model", { ...spm, model: "t5" }, /"t5" is not supported; supported are llama and gpt2/],
    ["no tokens", { ...spm, tokens: undefined }, /tokens is missing/],
    ["empty tokens", { ...spm, tokens: [] }, /tokens is missing or empty/],
    ["a huge token", { ...spm, tokens: tokens.with(260, "x".repeat(5000)) }, /token 260 is longer/],
    ["a repeated token", { ...spm, tokens: tokens.with(260, "▁") }, /both token 259 and token 260/],
    ["no scores", { ...spm, scores: undefined }, /scores is missing/],
    ["too few scores", { ...spm, scores: [1] }, /1 scores for 261 tokens/],
    [
      "a score that is not a number",
      { ...spm, scores: tokens.map(() => Number.NaN) },
      /token 0 is not a number/,
    ],
    ["too few types", { ...spm, token_type: [1] }, /1 types for 261 tokens/],
    ["an unknown type", { ...spm, token_type: tokens.map(() => 7) }, /token 0 has the unknown type 7/],
    ["a misspelled byte", { ...spm, tokens: tokens.with(3, "<0xZZ>") }, /byte token 3 is spelled "<0xZZ>"/],
    ["an id beyond the end", { ...spm, eos_token_id: 261 }, /eos_token_id: 261 is not an id/],
    ["a fractional id", { ...spm, bos_token_id: 1.5 }, /bos_token_id: 1.5 is not an id/],
    [
      "bytes without tokens",
      { ...spm, unknown_token_id: undefined, token_type: tokens.map(() => 1) },
      /byte 0 has/,
    ],
    ["a wanted token that is missing", { ...bpe, add_bos_token: true }, /add_bos_token: it is true, but/],
    [
      "an unknown pre-tokenizer",
      { ...bpe, pre: "klingon" },
      /"klingon" is not one of the supported default, gpt-2/,
    ],
    ["no merges", { ...bpe, merges: undefined }, /merges is missing/],
    ["a merge of one", { ...bpe, merges: ["ab"] }, /merge 0, "ab", does not join/],
    ["a merge of an unknown token", { ...bpe, merges: ["a b", "ab zz"] }, /merge 1, "ab zz", does not join/],
    ["a merge to an unknown token", { ...bpe, merges: ["b a"] }, /merge 0, "b a", does not join/],
    [
      "letters without tokens",
      { ...bpe, tokens: ["a", "b", "ab"], token_type: [1, 1, 1] },
      /byte 0 has no token/,
    ],
  ];

  test.each(cases)("%s", (_, values, message) => {
    expect(() => make(values)).toThrow(
      expect.objectContaining({ code: "E_TOKENIZER", message: expect.stringMatching(message) }),
    );
  });

  test("spellings that a lenient decoding made equal are no contradiction", () => {
    const lenient = spmValues({ "\uFFFDx": -1, "\uFFFDy": -2 });
    const twice = { ...lenient, tokens: (lenient["tokens"] as string[]).with(260, "\uFFFDx") };
    expect(make(twice).vocabularySize).toBe(261);
  });
});
