/** A KV page in the parts that ranks have, and whole: whatever the placement, nothing is lost and nothing moves. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { cutPart, pageBytes, pageShape, partBytes, placePart } from "../../src/cluster/shards/page-parts.ts";
import { compile } from "../../src/model/mod.ts";
import { Random } from "../kernels/random.ts";
import { randomDescription } from "./models.ts";
import { randomPlacement } from "./placements.ts";

const HEAD_BYTES = 6;

test("the parts of every placement make up the page", () => {
  let [split, shared] = [0, 0];
  const property = fc.property(fc.nat(), (seed) => {
    const random = new Random(seed);
    const model = randomDescription(random);
    const programs = compile(model, { format: "i8", placement: randomPlacement(model, random) });
    const bytes = programs.map(({ kv }) => kv.layers * kv.heads * HEAD_BYTES);
    const shape = pageShape(programs, bytes, model);
    expect(shape).toEqual({ layers: model.layers, heads: model.kvHeads, headBytes: HEAD_BYTES });
    if (shape === undefined) return;
    const page = Uint8Array.from({ length: pageBytes(shape) }, () => random.between(0, 255));
    const again = new Uint8Array(page.length);
    for (const [rank, program] of programs.entries()) {
      expect(partBytes(shape, program)).toBe(bytes[rank]);
      // What was there before is of no meaning.
      const part = new Uint8Array(partBytes(shape, program)).fill(170);
      cutPart(page, part, shape, program);
      placePart(again, part, shape, program);
    }
    expect(again).toEqual(page);
    if (programs.length > 1) split++;
    if (bytes.reduce((sum, each) => sum + each, 0) > page.length) shared++;
  });
  fc.assert(property, { numRuns: 300, seed: 3 });
  expect(split).toBeGreaterThan(150);
  expect(shared).toBeGreaterThan(10);
});

test("ranks that keep pages in unlike ways have no common form", () => {
  const model = randomDescription(new Random(4));
  const [program] = compile(model, { format: "i8", placement: randomPlacement(model, new Random(1)) });
  expect(program).toBeDefined();
  if (program === undefined) return;
  const bytes = program.kv.layers * program.kv.heads * HEAD_BYTES;
  expect(pageShape([program, program], [bytes, 2 * bytes], model)).toBeUndefined();
  expect(pageShape([program], [bytes + 1], model)).toBeUndefined();
  expect(pageShape([program], [], model)).toBeUndefined();
});
