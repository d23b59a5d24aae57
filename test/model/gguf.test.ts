import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import {
  bytesSource,
  encodeGguf,
  type Gguf,
  type GgufValue,
  Metadata,
  openByteSource,
  readGguf,
  type TensorContent,
  writeGguf,
} from "../../src/model/gguf/mod.ts";
import { type SourceType, sourceTypes } from "../../src/tensor/mod.ts";
import { sample, sampleFile, sampleMetadata, sampleTensors, tensor } from "./gguf-sample.ts";

const folder = mkdtempSync(join(tmpdir(), "gguf-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const shared = new URL("../../../shared/", import.meta.url).pathname;

function readBytes(bytes: Uint8Array): Gguf {
  return readGguf(bytesSource(bytes, "test.gguf"));
}

function readFile(path: string): Gguf {
  const source = openByteSource(path);
  try {
    return readGguf(source);
  } finally {
    source.close();
  }
}

function expectTensors(file: Uint8Array, gguf: Gguf, tensors: readonly TensorContent[]): void {
  expect([...gguf.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
  for (const { name, type, shape, data } of tensors) {
    const info = gguf.tensors.get(name);
    expect(info).toMatchObject({ name, type, shape });
    const { offset = -1, byteLength = 0 } = info ?? {};
    expect(offset % gguf.alignment).toBe(0);
    expect(Buffer.concat([...data()]).equals(file.subarray(offset, offset + byteLength))).toBe(true);
  }
}

describe("what the writer writes", () => {
  test("the reader reads back, every kind of value and every type", () => {
    const file = sampleFile();
    const gguf = readBytes(file);
    expect(gguf.version).toBe(3);
    expect([...gguf.metadata.entries()]).toEqual(sampleMetadata);
    expectTensors(file, gguf, sampleTensors);
  });

  test("on disk it is the same bytes, and nothing else is left beside it", () => {
    const path = join(folder, "sample.gguf");
    const progress: number[] = [];
    writeGguf(path, { ...sample, onProgress: (written, total) => progress.push(written / total) });
    expect(new Uint8Array(readFileSync(path))).toEqual(sampleFile());
    expect(progress.at(-1)).toBe(1);
    expect(readdirSync(folder)).toEqual(["sample.gguf"]);
    expect([...readFile(path).tensors.keys()].length).toBe(sampleTensors.length);
  });

  test("a failed write leaves the old file and no temporary one", () => {
    const path = join(folder, "sample.gguf");
    const bad = { ...tensor("t", "F32", [4]), data: () => [new Uint8Array(3)] };
    expect(() => writeGguf(path, { metadata: [], tensors: [bad] })).toThrow("3 bytes of 16");
    expect(new Uint8Array(readFileSync(path))).toEqual(sampleFile());
    expect(readdirSync(folder)).toEqual(["sample.gguf"]);
    const nowhere = join(folder, "missing", "x.gguf");
    expect(() => writeGguf(nowhere, sample)).toThrow(expect.objectContaining({ code: "E_FILE" }));
  });

  test("random metadata and tensors come back", () => {
    fc.assert(
      fc.property(contents, ({ metadata, tensors }) => {
        const file = encodeGguf({ metadata, tensors });
        const gguf = readBytes(file);
        expect([...gguf.metadata.entries()]).toEqual(metadata);
        expectTensors(file, gguf, tensors);
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  test("version 2 has the same layout", () => {
    const file = sampleFile();
    file[4] = 2;
    expect(readBytes(file).version).toBe(2);
  });

  test("other alignments, and gaps between tensors, are fine", () => {
    for (const alignment of [8, 64, 4096]) {
      const metadata: [string, GgufValue][] = [["general.alignment", { type: "u32", value: alignment }]];
      const file = encodeGguf({ metadata, tensors: sampleTensors });
      const gguf = readBytes(file);
      expect(gguf.alignment).toBe(alignment);
      expectTensors(file, gguf, sampleTensors);
    }
  });

  test("a string across the reader's window is whole", () => {
    const long = "é".repeat(700_000);
    const value: GgufValue = { type: "array", of: "string", value: [long, "x", long, long] };
    const gguf = readBytes(encodeGguf({ metadata: [["k", value]], tensors: [] }));
    expect(gguf.metadata.optionalStrings("k")).toEqual([long, "x", long, long]);
  });
});

/** Values of one kind as the reader gives them. */
const scalars: fc.Arbitrary<GgufValue> = fc.oneof(
  fc.record({ type: fc.constant("string" as const), value: fc.string({ unit: "grapheme" }) }),
  fc.record({ type: fc.constant("bool" as const), value: fc.boolean() }),
  fc.record({ type: fc.constant("u32" as const), value: fc.nat(2 ** 32 - 1) }),
  fc.record({ type: fc.constant("i16" as const), value: fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }) }),
  fc.record({ type: fc.constant("f32" as const), value: fc.float() }),
  fc.record({ type: fc.constant("f64" as const), value: fc.double() }),
  fc.record({ type: fc.constant("i64" as const), value: fc.maxSafeInteger() }),
  fc.record({
    type: fc.constant("u64" as const),
    value: fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  }),
);
const arrays: fc.Arbitrary<GgufValue> = fc.oneof(
  fc.array(fc.string({ unit: "grapheme" })).map((value) => ({ type: "array", of: "string", value }) as const),
  fc.uint8Array().map((value) => ({ type: "array", of: "u8", value }) as const),
  fc.float32Array().map((value) => ({ type: "array", of: "f32", value }) as const),
  fc.bigInt64Array().map((value) => ({ type: "array", of: "i64", value }) as const),
);
const tensors = fc.record({
  name: fc.string({ unit: "grapheme", maxLength: 12 }),
  type: fc.constantFrom<SourceType>(...sourceTypes),
  rows: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
  blocks: fc.integer({ min: 1, max: 3 }),
});
const contents = fc.record({
  metadata: fc.uniqueArray(fc.tuple(fc.string({ unit: "grapheme" }), fc.oneof(scalars, arrays)), {
    selector: ([key]) => key,
  }),
  tensors: fc
    .uniqueArray(tensors, { selector: ({ name }) => name, maxLength: 8 })
    .map((list) => list.map(({ name, type, rows, blocks }) => tensor(name, type, [blocks * 32, ...rows]))),
});

describe("metadata accessors", () => {
  const metadata = new Metadata(new Map(sampleMetadata));

  test("give what is there", () => {
    expect(metadata.string("general.architecture")).toBe("llama");
    expect(metadata.number("a.u64")).toBe(2 ** 53 - 1);
    expect(metadata.optionalBoolean("a.yes")).toBe(true);
    expect(metadata.optionalStrings("a.tokens")).toContain("\ufeff");
    expect(metadata.optionalNumbers("a.scores")).toEqual(Float32Array.of(0, -1, -2.5));
    expect(metadata.optionalNumbers("a.longs")).toEqual(Float64Array.of(1, 2 ** 40));
    for (const missing of [
      metadata.optionalString("b"),
      metadata.optionalNumber("b"),
      metadata.optionalBoolean("b"),
      metadata.optionalStrings("b"),
      metadata.optionalNumbers("b"),
    ]) {
      expect(missing).toBeUndefined();
    }
  });

  test("name the key, what was wanted and what is there", () => {
    const wrong: [() => unknown, string][] = [
      [() => metadata.string("b"), '"b" is missing; it should be a string'],
      [() => metadata.number("b"), '"b" is missing; it should be a number'],
      [() => metadata.string("a.u8"), '"a.u8" should be a string; it is 255 of type u8'],
      [() => metadata.number("general.architecture"), "should be a number below 2^53; it is a string"],
      [() => metadata.number("a.u64.large"), "it is 18446744073709551615 of type u64"],
      [() => metadata.optionalBoolean("a.u8"), "should be a boolean"],
      [() => metadata.optionalStrings("a.scores"), "it is an array of f32 with 3 elements"],
      [() => metadata.optionalNumbers("a.tokens"), "should be an array of numbers"],
      [() => metadata.optionalNumbers("a.flags"), "it is an array of bool with 3 elements"],
    ];
    for (const [access, message] of wrong) {
      expect(access).toThrow(
        expect.objectContaining({ code: "E_GGUF", message: expect.stringContaining(message) }),
      );
    }
  });
});

describe("byte sources", () => {
  test("a file and its bytes read alike", () => {
    const path = join(folder, "bytes");
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i & 255);
    writeFileSync(path, bytes);
    const file = openByteSource(path);
    const memory = bytesSource(bytes, "bytes");
    expect(file.size).toBe(1000);
    for (const [offset, length] of [
      [0, 1000],
      [999, 1],
      [1000, 0],
      [300, 17],
    ] as const) {
      expect(file.read(offset, length)).toEqual(memory.read(offset, length));
    }
    file.close();
    file.close();
  });

  test("what is missing or not a file is E_FILE", () => {
    for (const path of [join(folder, "missing.gguf"), folder, "/dev/null"]) {
      expect(() => openByteSource(path)).toThrow(
        expect.objectContaining({ code: "E_FILE", message: expect.stringContaining(`Cannot open ${path}`) }),
      );
    }
  });
});

const noShared = !existsSync(join(shared, "models/stories260K.gguf"));

describe.skipIf(noShared)(`real files${noShared ? " (skipped: the shared folder is missing)" : ""}`, () => {
  test("stories260K", () => {
    const path = join(shared, "models/stories260K.gguf");
    const { version, metadata, tensors, alignment, dataOffset } = readFile(path);
    expect({ version, alignment, pairs: metadata.size, tensors: tensors.size }).toEqual({
      version: 3,
      alignment: 32,
      pairs: 24,
      tensors: 47,
    });
    expect(metadata.number("llama.block_count")).toBe(5);
    expect(metadata.optionalStrings("tokenizer.ggml.tokens")?.length).toBe(512);
    expect(tensors.get("token_embd.weight")).toEqual({
      name: "token_embd.weight",
      type: "F32",
      shape: [64, 512],
      offset: dataOffset,
      byteLength: 64 * 512 * 4,
    });
    // Our writer puts the same content at the same places.
    const file = new Uint8Array(readFileSync(path));
    const copies = [...tensors.values()].map(({ name, type, shape, offset, byteLength }) => {
      return { name, type, shape, data: () => [file.subarray(offset, offset + byteLength)] };
    });
    const again = encodeGguf({ metadata: metadata.entries(), tensors: copies });
    expect(Buffer.from(again).equals(file)).toBe(true);
  });

  test.each([
    ["llama-bpe", "gpt2", 128_256],
    ["llama-spm", "llama", 32_000],
    ["qwen2", "gpt2", 151_936],
  ])("the vocabulary %s, in well under a second", (name, model, size) => {
    const path = join(shared, `vectors/tokenizer/ggml-vocab-${name}.gguf`);
    // Processor time: the clock on the wall also counts what other processes do.
    const start = process.cpuUsage();
    const { metadata, tensors } = readFile(path);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(1000);
    expect(tensors.size).toBe(0);
    expect(metadata.string("tokenizer.ggml.model")).toBe(model);
    const tokens = metadata.optionalStrings("tokenizer.ggml.tokens");
    expect(tokens?.length).toBe(size);
    expect(metadata.optionalNumbers("tokenizer.ggml.token_type")?.length).toBe(size);
    expect(new Set(tokens).size).toBe(size);
  });
});
