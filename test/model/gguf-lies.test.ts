/** Each lie a file can tell, alone, with the code it is answered with. */

import { describe, expect, test } from "vitest";
import { ClawError, type ErrorCode } from "../../src/base/mod.ts";
import {
  bytesSource,
  encodeGguf,
  type GgufValue,
  readGguf,
  type TensorContent,
} from "../../src/model/gguf/mod.ts";
import { type FieldKind, fieldsOf } from "./gguf-fields.ts";
import { sampleFile, sampleTensors, tensor } from "./gguf-sample.ts";

function rejection(file: Uint8Array): { code: ErrorCode; message: string } {
  try {
    readGguf(bytesSource(file, "lie.gguf"));
  } catch (error) {
    if (error instanceof ClawError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("The file was accepted.");
}

interface Where {
  readonly kind: FieldKind;
  readonly owner?: string;
  /** Which of the fields that match. */
  readonly nth?: number;
}

/** The sample file with one field set to `value`. */
function withField(where: Where, value: number | bigint, file: Uint8Array = sampleFile()): Uint8Array {
  const found = fieldsOf(file).filter(
    (field) => field.kind === where.kind && (where.owner === undefined || field.owner === where.owner),
  );
  const field = found[where.nth ?? 0];
  if (!field) throw new Error(`No field ${where.kind} of ${where.owner}.`);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (field.bytes === 4) view.setUint32(field.start, Number(value), true);
  else view.setBigUint64(field.start, BigInt(value), true);
  return file;
}

function withText(from: string, to: Uint8Array): Uint8Array {
  const file = sampleFile();
  const at = Buffer.from(file).indexOf(from);
  expect(at).toBeGreaterThan(0);
  file.set(to, at);
  return file;
}

function withMetadata(...metadata: [string, GgufValue][]): Uint8Array {
  return encodeGguf({ metadata, tensors: [] });
}

/** A file that states this alignment; the writer, which would obey it, sees another key. */
function withAlignment(value: GgufValue): Uint8Array {
  const file = withMetadata(["general.alignmenT", value]);
  file.set(Buffer.from("general.alignment"), Buffer.from(file).indexOf("general.alignmenT"));
  return file;
}

const q8 = "blk.0.attn_q.weight";
const q4 = "blk.0.attn_k.weight";
const norm = "blk.0.attn_norm.weight";
/** The last tensor holds 24 bytes, padded to 32. */
const paddingBytes = 8;
const twoStrings: GgufValue = { type: "array", of: "string", value: ["a", "b"] };

function nestedArray(): Uint8Array {
  const file = withMetadata(["k", { type: "array", of: "u64", value: BigUint64Array.of(0n, 0n) }]);
  return withField({ kind: "kind", owner: "k", nth: 1 }, 9, file);
}

function withTensors(...tensors: TensorContent[]): Uint8Array {
  return encodeGguf({ metadata: [], tensors });
}

function withString(length: number): Uint8Array {
  return withField(
    { kind: "length", owner: "k" },
    length,
    withMetadata(["k", { type: "string", value: "v" }]),
  );
}

type Lie = readonly [name: string, file: Uint8Array, code: ErrorCode, message: string];

const headerLies: readonly Lie[] = [
  ["an empty file", new Uint8Array(0), "E_GGUF", "ends at byte 0, inside the first word"],
  ["another magic", withField({ kind: "magic" }, 0x46554746), "E_GGUF", "letters GGUF"],
  ["version 0", withField({ kind: "version" }, 0), "E_GGUF_VERSION", "version 0"],
  ["version 1", withField({ kind: "version" }, 1), "E_GGUF_VERSION", "version 1"],
  ["version 4", withField({ kind: "version" }, 4), "E_GGUF_VERSION", "version 4"],
  ["big endian", withField({ kind: "version" }, 0x03000000), "E_GGUF_VERSION", "big endian"],
  ["2^63 tensors", withField({ kind: "count" }, 2n ** 63n), "E_GGUF_LIMIT", "number of tensors"],
  ["65,537 tensors", withField({ kind: "count" }, 65_537), "E_GGUF_LIMIT", "at most 65536"],
  ["more tensors than bytes", withField({ kind: "count" }, 60_000), "E_GGUF", "bytes follow"],
  ["2^64 - 1 pairs", withField({ kind: "count", nth: 1 }, 2n ** 64n - 1n), "E_GGUF_LIMIT", "metadata pairs"],
  ["more pairs than bytes", withField({ kind: "count", nth: 1 }, 60_000), "E_GGUF", "bytes follow"],
];

const metadataLies: readonly Lie[] = [
  ["a long key", withField({ kind: "length" }, 65_536), "E_GGUF_LIMIT", "length of a metadata key"],
  ["a key beyond the file", withField({ kind: "length" }, 60_000), "E_GGUF", "bytes follow"],
  ["a key that is not UTF-8", withText("a.i16", Uint8Array.of(0xff)), "E_GGUF", "not valid UTF-8"],
  ["a repeated key", withText("a.i8", Buffer.from("a.u8")), "E_GGUF", '"a.u8" appears twice'],
  ["an unknown kind", withField({ kind: "kind", owner: "a.u8" }, 13), "E_GGUF", "unknown kind 13"],
  [
    "an unknown element kind",
    withField({ kind: "kind", owner: "a.types", nth: 1 }, 77),
    "E_GGUF",
    "unknown kind 77",
  ],
  ["an array of arrays", nestedArray(), "E_GGUF_LIMIT", "array of arrays"],
  ["a boolean of 2", withText("a.yes", Buffer.from("a.yes\x07\0\0\0\x02")), "E_GGUF", "neither 0 nor 1"],
  [
    "a boolean of 2 in an array",
    withMetadata(["k", { type: "array", of: "bool", value: Uint8Array.of(0, 1, 2) }]),
    "E_GGUF",
    "neither 0 nor 1",
  ],
  ["a string of 2^40 bytes", withString(2 ** 40), "E_GGUF_LIMIT", 'length of the value of "k"'],
  ["a string beyond the file", withString(1000), "E_GGUF", "bytes follow"],
  [
    "an array of 2^50",
    withField({ kind: "length", owner: "a.scores" }, 2 ** 50),
    "E_GGUF_LIMIT",
    "at most 2097152",
  ],
  [
    "an array beyond the file",
    withField({ kind: "length", owner: "a.scores" }, 2 ** 20),
    "E_GGUF",
    "bytes follow",
  ],
  [
    "more strings than bytes",
    withField({ kind: "length", owner: "k" }, 100, withMetadata(["k", twoStrings])),
    "E_GGUF",
    "bytes follow",
  ],
  [
    "keys of 9 MB in all",
    withMetadata(
      ...Array.from({ length: 150 }, (_, i): [string, GgufValue] => {
        return [String(i).padEnd(60_000), { type: "u8", value: 0 }];
      }),
    ),
    "E_GGUF_LIMIT",
    "keys take more than",
  ],
  ["an alignment of 0", withAlignment({ type: "u32", value: 0 }), "E_GGUF", "alignment is 0"],
  ["an alignment of 4", withAlignment({ type: "u32", value: 4 }), "E_GGUF", "alignment is 4"],
  ["an alignment of 48", withAlignment({ type: "u32", value: 48 }), "E_GGUF", "alignment is 48"],
  ["an alignment of -8", withAlignment({ type: "i32", value: -8 }), "E_GGUF", "alignment is -8"],
  ["an alignment of 32.5", withAlignment({ type: "f32", value: 32.5 }), "E_GGUF", "alignment is 32.5"],
  ["an alignment of NaN", withAlignment({ type: "f32", value: Number.NaN }), "E_GGUF", "alignment is NaN"],
  ["an alignment of 2^31", withAlignment({ type: "u32", value: 2 ** 31 }), "E_GGUF_LIMIT", "is 2147483648"],
  ["an alignment of text", withAlignment({ type: "string", value: "32" }), "E_GGUF", "it is a string"],
];

const tensorLies: readonly Lie[] = [
  [
    "a long tensor name",
    withTensors(tensor("n".repeat(257), "F32", [1])),
    "E_GGUF_LIMIT",
    "length of a tensor's name is 257",
  ],
  ["a tensor name that is not UTF-8", withText(q8, Uint8Array.of(0xc0, 0x80)), "E_GGUF", "not valid UTF-8"],
  ["a repeated tensor", withText("attn_k", Buffer.from("attn_q")), "E_GGUF", `"${q8}" appears twice`],
  ["no dimensions", withField({ kind: "rank", owner: q8 }, 0), "E_GGUF", "no dimensions"],
  ["five dimensions", withField({ kind: "rank", owner: q8 }, 5), "E_GGUF_LIMIT", "5 dimensions"],
  ["2^32 - 1 dimensions", withField({ kind: "rank", owner: q8 }, 2 ** 32 - 1), "E_GGUF_LIMIT", "dimensions"],
  ["a dimension of 0", withField({ kind: "dimension", owner: q8, nth: 1 }, 0), "E_GGUF", "dimension of zero"],
  [
    "a dimension of 2^64 - 1",
    withField({ kind: "dimension", owner: q8 }, 2n ** 64n - 1n),
    "E_GGUF_LIMIT",
    "more than 2^51 elements",
  ],
  [
    "a product that wraps round 2^64 to 0",
    withField(
      { kind: "dimension", owner: q8 },
      2 ** 32,
      withField({ kind: "dimension", owner: q8, nth: 1 }, 2 ** 32),
    ),
    "E_GGUF_LIMIT",
    "more than 2^51 elements",
  ],
  ["rows that are not whole blocks", withField({ kind: "dimension", owner: q4 }, 48), "E_GGUF", "rows of 48"],
  [
    "an unsupported type",
    withField({ kind: "type", owner: q8 }, 12),
    "E_GGUF_TYPE",
    `"${q8}" has the type Q4_K`,
  ],
  ["an unknown type", withField({ kind: "type", owner: q8 }, 2 ** 31), "E_GGUF_TYPE", "number 2147483648"],
  ["an offset off the alignment", withField({ kind: "offset", owner: q8 }, 72), "E_GGUF", "begins at 72"],
  ["an offset beyond the file", withField({ kind: "offset", owner: q8 }, 2 ** 20), "E_GGUF", "ends at byte"],
  ["an offset of 2^63", withField({ kind: "offset", owner: q8 }, 2n ** 63n), "E_GGUF", "beyond the file"],
  [
    "an offset of 2^53 - 32",
    withField({ kind: "offset", owner: q8 }, 2 ** 53 - 32),
    "E_GGUF",
    "ends at byte",
  ],
  [
    "a tensor longer than the file",
    withField({ kind: "dimension", owner: norm }, 5000),
    "E_GGUF",
    "ends at byte",
  ],
  ["two tensors at one place", withField({ kind: "offset", owner: q8 }, 0), "E_GGUF", "overlap"],
  [
    "a tensor that reaches into the next",
    withField({ kind: "dimension", owner: norm }, 9),
    "E_GGUF",
    "overlap",
  ],
];

describe("one lie at a time", () => {
  test("the sample itself is accepted", () => {
    expect(readGguf(bytesSource(sampleFile(), "sample.gguf")).tensors.size).toBe(sampleTensors.length);
  });

  for (const [name, file, code, message] of [...headerLies, ...metadataLies, ...tensorLies]) {
    test(name, () => {
      expect(rejection(file)).toEqual({ code, message: expect.stringContaining(message) });
    });
  }

  test("a file cut short anywhere is E_GGUF", () => {
    const file = sampleFile();
    const end = file.length - paddingBytes;
    for (let length = 0; length < end; length++) {
      expect(rejection(file.subarray(0, length)).code).toBe("E_GGUF");
    }
    expect(readGguf(bytesSource(file.subarray(0, end), "cut.gguf")).tensors.size).toBe(sampleTensors.length);
  });

  test("a token that is not UTF-8 is read leniently", () => {
    const file = withText("<unk>", Uint8Array.of(0xff));
    const { metadata } = readGguf(bytesSource(file, "token.gguf"));
    expect(metadata.optionalStrings("a.tokens")?.[0]).toBe("\ufffdunk>");
  });
});
