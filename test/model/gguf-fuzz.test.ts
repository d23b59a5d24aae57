/** Structure-aware fuzzing of the reader: mutations that know which field they change, beside blind ones. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { ClawError, errorTable } from "../../src/base/mod.ts";
import { bytesSource, readGguf } from "../../src/model/gguf/mod.ts";
import { type Field, type FieldKind, fieldsOf } from "./gguf-fields.ts";
import { sampleFile } from "./gguf-sample.ts";

const CASES = 10_000;
const SEED = 20_260_401;
const SLOW_MS = 1000;

const original = sampleFile();
const fields = fieldsOf(original);
/** Magic, version and the two counts. */
const HEADER_BYTES = 24;

type Mutation = (file: Uint8Array) => Uint8Array;

/** Values near every boundary the reader knows, or anything. */
const boundary = fc.oneof(
  fc.bigInt({ min: 0n, max: 64n }),
  fc
    .tuple(fc.nat(64), fc.integer({ min: -1, max: 1 }))
    .map(([power, step]) => BigInt.asUintN(64, 2n ** BigInt(power) + BigInt(step))),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

function setField(field: Field, change: (value: bigint) => bigint): Mutation {
  return (file) => {
    const view = new DataView(file.buffer, file.byteOffset, file.length);
    if (field.start + field.bytes > file.length) return file;
    if (field.bytes === 4) {
      const value = change(BigInt(view.getUint32(field.start, true)));
      view.setUint32(field.start, Number(BigInt.asUintN(32, value)), true);
    } else {
      view.setBigUint64(field.start, BigInt.asUintN(64, change(view.getBigUint64(field.start, true))), true);
    }
    return file;
  };
}

/** A kind first, then one of its fields: the many string lengths would else take most of the cases. */
const anyField = fc
  .constantFrom<FieldKind>(
    "magic",
    "version",
    "count",
    "length",
    "kind",
    "rank",
    "dimension",
    "type",
    "offset",
  )
  .chain((kind) => fc.constantFrom(...fields.filter((field) => field.kind === kind)));

const replaceField = fc.tuple(anyField, boundary).map(([field, value]) => setField(field, () => value));
const shiftField = fc
  .tuple(anyField, fc.constantFrom(-32n, -8n, -1n, 1n, 8n, 32n, 64n))
  .map(([field, step]) => setField(field, (value) => value + step));
/** Types and offsets exchanged for others that exist: the most plausible lies. */
const plausibleField = fc.tuple(anyField, fc.nat(fields.length - 1)).map(([field, index]) => {
  const twins = fields.filter(({ kind }) => kind === field.kind);
  const twin = twins[index % twins.length] as Field;
  const view = new DataView(original.buffer, original.byteOffset, original.length);
  const value =
    twin.bytes === 4 ? BigInt(view.getUint32(twin.start, true)) : view.getBigUint64(twin.start, true);
  return setField(field, () => value);
});
const flipBits = fc
  .array(fc.tuple(fc.nat(original.length - 1), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  })
  .map(
    (flips): Mutation =>
      (file) => {
        for (const [position, mask] of flips)
          if (position < file.length) file[position] = (file[position] ?? 0) ^ mask;
        return file;
      },
  );
const truncate = fc.nat(original.length).map(
  (length): Mutation =>
    (file) =>
      file.slice(0, length),
);
const duplicate = fc.tuple(fc.nat(original.length), fc.nat(200)).map(
  ([start, length]): Mutation =>
    (file) => {
      return Buffer.concat([file.subarray(0, start + length), file.subarray(start)]);
    },
);
const remove = fc.tuple(fc.nat(original.length), fc.integer({ min: 1, max: 40 })).map(
  ([start, length]): Mutation =>
    (file) => {
      return Buffer.concat([file.subarray(0, start), file.subarray(start + length)]);
    },
);

const mutated = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: replaceField },
      { weight: 3, arbitrary: shiftField },
      { weight: 3, arbitrary: plausibleField },
      { weight: 2, arbitrary: flipBits },
      { weight: 1, arbitrary: truncate },
      { weight: 1, arbitrary: duplicate },
      { weight: 1, arbitrary: remove },
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((mutations) => mutations.reduce<Uint8Array>((file, mutate) => mutate(file), original.slice()));

/** What an accepted file promises to whoever reads its tensors. */
function expectPromises(file: Uint8Array): void {
  const { tensors, alignment, dataOffset } = readGguf(bytesSource(file, "fuzz.gguf"));
  let end = dataOffset;
  for (const { offset, byteLength } of [...tensors.values()].sort((a, b) => a.offset - b.offset)) {
    expect(offset % alignment).toBe(0);
    expect(offset).toBeGreaterThanOrEqual(end);
    expect(byteLength).toBeGreaterThan(0);
    end = offset + byteLength;
    expect(end).toBeLessThanOrEqual(file.length);
  }
}

/** Whether the mutations left the first fields whole, so that the rest of the reader is what is tested. */
function headerIsWhole(file: Uint8Array): boolean {
  return Buffer.from(original.subarray(0, HEADER_BYTES)).equals(file.subarray(0, HEADER_BYTES));
}

test(`${CASES} mutated files (seed ${SEED}): only errors of the table, none slow`, () => {
  const outcomes = new Map<string, number>();
  let pastHeader = 0;
  let slowest = 0;
  fc.assert(
    fc.property(mutated, (file) => {
      const start = performance.now();
      let outcome = "accepted";
      try {
        expectPromises(file);
      } catch (error) {
        if (!(error instanceof ClawError)) throw error;
        expect(errorTable).toHaveProperty(error.code);
        outcome = error.code;
      }
      slowest = Math.max(slowest, performance.now() - start);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (headerIsWhole(file)) pastHeader++;
    }),
    { seed: SEED, numRuns: CASES },
  );
  console.info("outcomes", Object.fromEntries(outcomes), { pastHeader, slowestMs: Math.round(slowest) });
  expect(slowest).toBeLessThan(SLOW_MS);
  expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(CASES);
  expect(pastHeader).toBeGreaterThan(CASES / 3);
  expect(outcomes.get("accepted") ?? 0).toBeGreaterThan(CASES / 50);
  for (const code of ["E_GGUF", "E_GGUF_VERSION", "E_GGUF_LIMIT", "E_GGUF_TYPE"]) {
    expect(outcomes.get(code) ?? 0).toBeGreaterThan(100);
  }
});
