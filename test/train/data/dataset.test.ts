/** I/O: encodes small corpora and reads them. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readDocuments } from "../../../src/train/data/documents.ts";
import { CHUNK_BYTES } from "../../../src/train/data/limits.ts";
import { epochOrder } from "../../../src/train/data/shuffle.ts";
import { Windows } from "../../../src/train/data/windows.ts";
import { type DataOptions, Dataset, NO_TARGET, prepareData } from "../../../src/train/mod.ts";
import { scratchFolder, smallDocuments, writeCorpus } from "./corpus.ts";

const lengths = [300, 7, 0, 120, 64, 33, 500, 2, 90, 210];
const documents = smallDocuments(lengths);
const context = 32;

function prepared(change: Partial<DataOptions> = {}) {
  const folder = scratchFolder();
  const corpus = writeCorpus(folder, documents);
  const options = { valid: undefined, heldOut: 0.3, seed: 5, tokenizer: undefined, vocabulary: 300 };
  return { corpus, ...prepareData({ ...options, corpus, folder, ...change }) };
}

/** All tokens of a split. */
function tokensOf(folder: string, split: string): Uint16Array {
  const bytes = readFileSync(join(folder, `${split}.tokens`));
  return new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

describe("documents", () => {
  test("are what lies between marks, whatever the line ends, and wherever a read ends", () => {
    const folder = scratchFolder();
    const long = "é".repeat(CHUNK_BYTES / 2 - 3);
    const text = `\n\none\r\n<|endoftext|>\r\n\n<|endoftext|>\n${long}\n two <|endoftext|>\n<|endoftext|> \nx`;
    const path = writeCorpus(folder, [text, long, "<|endoftext|>"]);
    expect([...readDocuments(path)].map((document) => document.length)).toEqual([
      3,
      long.length + "\n two <|endoftext|>\n<|endoftext|> \nx".length,
      long.length,
    ]);
  });

  test("that are not UTF-8, or that are not there, are refused", () => {
    const path = join(scratchFolder(), "corpus.txt");
    expect(() => [...readDocuments(path)]).toThrow(expect.objectContaining({ code: "E_FILE" }));
    for (const end of [[0xff, 10], [0xc3]]) {
      writeFileSync(path, Uint8Array.of(97, ...end));
      expect(() => [...readDocuments(path)]).toThrow(expect.objectContaining({ code: "E_CORPUS" }));
    }
  });
});

describe("a dataset", () => {
  test("holds every document once, in one split or the other, between end-of-text tokens", () => {
    const { folder, index, tokenizer } = prepared();
    const found = ["train", "valid"].flatMap((split) => {
      const texts: string[] = [];
      const tokens = tokensOf(folder, split);
      const ends = [...tokens.keys()].filter((place) => tokens[place] === index.end);
      expect(ends.slice(0, -1)).toEqual(index.splits[split as "train"].documents);
      ends.slice(1).forEach((end, i) => {
        texts.push(tokenizer.tokenizer.decode(tokens.subarray(ends[i]! + 1, end)));
      });
      expect(texts.length).toBeGreaterThan(0);
      return texts;
    });
    expect(found.toSorted()).toEqual(documents.toSorted());
  });

  test("is made once, and again when its source or its options change", () => {
    const first = prepared();
    const options = { corpus: first.corpus, folder: first.folder };
    const stages: string[] = [];
    const onProgress = (stage: string): void => void stages.push(stage);
    expect(prepared({ ...options, onProgress }).index).toEqual(first.index);
    expect(stages).toEqual([]);
    expect(prepared({ ...options, seed: 8, onProgress }).index).not.toEqual(first.index);
    expect(new Set(stages)).toEqual(new Set(["Encoding the corpus:"]));
    expect(prepared({ ...options, vocabulary: 310 }).tokenizer.digest).not.toBe(first.tokenizer.digest);
  });

  test("with nothing to validate on is refused", () => {
    expect(() => prepared({ heldOut: 0 })).toThrow("no document is left for the split valid");
  });

  test("whose files contradict each other is refused", () => {
    const { folder } = prepared();
    const options = { split: "train", context, seed: 1 } as const;
    truncateSync(join(folder, "train.tokens"), 100);
    expect(() => new Dataset(folder, options)).toThrow(expect.objectContaining({ code: "E_CORPUS" }));
    const path = join(folder, "dataset.json");
    const index = JSON.parse(readFileSync(path, "utf8")) as { splits: { train: { documents: number[] } } };
    const starts = index.splits.train.documents;
    for (const broken of [[], [1, 2], [0, 5, 5], [0, 1e9], [0, 1.5], "x"]) {
      index.splits.train.documents = broken as number[];
      writeFileSync(path, JSON.stringify(index));
      expect(() => new Dataset(folder, options), String(broken)).toThrow("contradicts itself");
    }
    expect(starts[0]).toBe(0);
  });
});

describe("windows", () => {
  test("predict every token once, and reach over the end of a document only where they are packed", () => {
    const seen = { windows: 0, packed: 0 };
    const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 40 }), (sizes, context) => {
        const starts: number[] = [];
        let tokens = 0;
        for (const size of sizes) {
          starts.push(tokens);
          tokens += size;
        }
        const windows = new Windows(starts, tokens + 1, context);
        const predicted = new Uint8Array(tokens);
        for (let window = 0; window < windows.count; window++) {
          const ranges = windows.ranges(window);
          const length = ranges.reduce((sum, range) => sum + range.length, 0);
          expect(length === context || window === windows.count - 1).toBe(true);
          for (const { start, length } of ranges) {
            expect(starts.findLast((begin) => begin <= start)).toBe(
              starts.findLast((begin) => begin < start + length),
            );
            for (let place = start; place < start + length; place++) predicted[place]!++;
          }
          if (ranges.length > 1) seen.packed++;
          seen.windows++;
        }
        expect(predicted.every((times) => times === 1)).toBe(true);
      }),
      { seed: 7, numRuns: 300 },
    );
    expect(seen.windows).toBeGreaterThan(3000);
    expect(seen.packed).toBeGreaterThan(500);
  });

  test("are read with each token's successor, the last one filled up", () => {
    const { folder, index } = prepared();
    const all = tokensOf(folder, "train");
    const data = new Dataset(folder, { split: "train", context, seed: undefined });
    const tokens = new Int32Array(context * data.windows);
    const targets = new Int32Array(tokens.length);
    data.read(tokens, targets);
    expect(data.cursor).toEqual({ epoch: 1, window: 0 });
    data.close();
    const used = targets.findLastIndex((target) => target !== NO_TARGET) + 1;
    expect(used).toBe(all.length - 1);
    expect(targets.subarray(used)).toEqual(new Int32Array(tokens.length - used).fill(NO_TARGET));
    expect(tokens.subarray(used)).toEqual(new Int32Array(tokens.length - used).fill(index.end));
    const pairs = (left: ArrayLike<number>, right: ArrayLike<number>): string[] =>
      Array.from({ length: used }, (_, i) => `${left[i]} ${right[i]}`).toSorted();
    expect(pairs(tokens, targets)).toEqual(pairs(all, all.subarray(1)));
  });

  test("come in another order each epoch, the same for the same seed", () => {
    const order = (seed: number, epoch: number): string => epochOrder(500, seed, epoch).join();
    expect(order(3, 0)).toBe(order(3, 0));
    expect(new Set([order(3, 0), order(3, 1), order(4, 0), order(4, 1)]).size).toBe(4);
    expect(epochOrder(500, 3, 9).toSorted()).toEqual(Uint32Array.from({ length: 500 }, (_, i) => i));
  });

  test("go on exactly where another reader was, in any batch size", () => {
    const { folder } = prepared();
    const options = { split: "train", context, seed: 11 } as const;
    const readAll = (data: Dataset, windows: number): number[] => {
      const [tokens, targets] = [new Int32Array(windows * context), new Int32Array(windows * context)];
      data.read(tokens, targets);
      return [...tokens, ...targets];
    };
    const whole = new Dataset(folder, options);
    const count = whole.windows * 2 + 3;
    const expected = Array.from({ length: count }, () => readAll(whole, 1).join());
    whole.close();
    let resumed = 0;
    for (let cut = 1; cut < count; cut += 3) {
      const before = new Dataset(folder, options);
      readAll(before, cut);
      const after = new Dataset(folder, options);
      after.seek(JSON.parse(JSON.stringify(before.cursor)) as Dataset["cursor"]);
      for (let window = cut; window < count; window++)
        expect(readAll(after, 1).join()).toBe(expected[window]);
      before.close();
      after.close();
      resumed++;
    }
    expect(resumed).toBeGreaterThan(5);
    const data = new Dataset(folder, options);
    const wrong = [
      { epoch: 0, window: data.windows },
      { epoch: -1, window: 0 },
      { epoch: 0, window: 0.5 },
    ];
    for (const cursor of wrong) {
      expect(() => data.seek(cursor)).toThrow(expect.objectContaining({ code: "E_CHECKPOINT" }));
    }
    data.close();
  });
});
