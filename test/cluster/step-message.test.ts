/** What the engine's process and a rank say to each other, and what either does when the other says anything else. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { memoryLink } from "../../src/cluster/shards/memory-link.ts";
import {
  AnswerWriter,
  answerBytes,
  CommandReader,
  firstLogits,
  RankEar,
  readAnswer,
  sendBeat,
  sendCommand,
  sendFailure,
  sendStep,
} from "../../src/cluster/shards/step-message.ts";
import type { StepBlock } from "../../src/kernels/mod.ts";

const limits = { rows: 6, outputs: 3, pageEntries: 8 };
const NUMBERS_OF_A_COMMAND = 4;

function block(random: () => number): StepBlock {
  const words = (length: number): Int32Array => Int32Array.from({ length }, random);
  return {
    ...{ tokens: words(6), positions: words(6), pageStart: words(6), adapters: words(6), status: words(6) },
    ...{ pages: words(8), outputs: words(3), logits: new Float32Array(0) },
  };
}

const sizes = fc.record({
  rows: fc.nat(limits.rows),
  outputs: fc.nat(limits.outputs),
  pageEntries: fc.nat(limits.pageEntries),
});

test("steps and commands arrive as they were told, whatever came before", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.oneof(sizes, fc.constant(undefined)), { maxLength: 8 }),
    async (steps) => {
      const [near, far] = memoryLink();
      const reader = new CommandReader(far, limits);
      for (const [i, size] of steps.entries()) {
        if (size === undefined) {
          await sendCommand(near, { kind: "copy", from: i, to: i + 1 });
          expect(await reader.next()).toEqual({ kind: "copy", from: i, to: i + 1 });
          continue;
        }
        const { rows, outputs, pageEntries } = size;
        let next = i;
        const step = block(() => next++);
        await sendStep(near, step, size);
        const words = [
          ...step.tokens.subarray(0, rows),
          ...step.positions.subarray(0, rows),
          ...step.pageStart.subarray(0, rows),
          ...step.outputs.subarray(0, outputs),
          ...step.pages.subarray(0, pageEntries),
        ];
        expect(await reader.next()).toEqual({ kind: "step", size, words: Int32Array.from(words) });
      }
    },
  );
  await fc.assert(property, { numRuns: 200, seed: 4 });
});

test("answers arrive between beats, also those longer than a piece, and a failure as what went wrong", async () => {
  const [near, far] = memoryLink();
  const [writer, ear] = [new AnswerWriter(near), new RankEar(far)];
  const exchanged = { exchanges: 3, messages: 5, bytes: 2 ** 40, waitedSeconds: 0.25 };
  for (const logits of [0, 1, 1000, 2 ** 20, 7]) {
    const status = Int32Array.of(1, 0, 4);
    const values = Float32Array.from({ length: logits }, (_, i) => i / 3);
    await sendBeat(near);
    await writer.send({ status, logits: values, exchanged });
    expect(await ear.next(() => 0)).toBeUndefined();
    const answer = await ear.next(() => answerBytes(3, logits));
    expect(answer?.byteLength).toBe(answerBytes(3, logits));
    expect(readAnswer(answer?.bytes as Uint8Array, 3)).toEqual({ status, logits: values, exchanged });
  }
  // Of one that is longer than is due nothing is taken, however much is announced.
  await writer.send({ status: Int32Array.of(), logits: new Float32Array(9), exchanged });
  await expect(ear.next(() => answerBytes(0, 8))).rejects.toMatchObject({ code: "E_LINK" });
  await near.send(new Uint8Array(Int32Array.of(0, 2 ** 31 - 1).buffer));
  await expect(ear.next(() => answerBytes(0, 8))).rejects.toMatchObject({ code: "E_LINK" });
  await sendFailure(near, new ClawError("E_MEMORY", "No room."));
  await expect(ear.next(() => 0)).rejects.toMatchObject({ code: "E_MEMORY", message: "No room." });
});

test("what follows an answer's first piece goes where it belongs, if it is as long", async () => {
  const [near, far] = memoryLink();
  const [writer, ear] = [new AnswerWriter(near), new RankEar(far)];
  const exchanged = { exchanges: 1, messages: 2, bytes: 3, waitedSeconds: 4 };
  const status = Int32Array.of(0, 2);
  const piece = firstLogits(2, Number.MAX_SAFE_INTEGER);
  for (const logits of [3, piece, piece + 1, 2 ** 20]) {
    const first = firstLogits(2, logits);
    expect(first).toBe(Math.min(logits, piece));
    const values = Float32Array.from({ length: logits }, (_, i) => i / 7);
    for (const more of [0, 1]) {
      const place = new Float32Array(logits - first + more);
      const rest = new Uint8Array(place.buffer);
      await writer.send({ status, logits: values, exchanged });
      const answer = await ear.next(
        () => answerBytes(2, logits),
        () => rest,
      );
      expect(answer?.byteLength).toBe(answerBytes(2, logits));
      const said = readAnswer(answer?.bytes as Uint8Array, 2);
      expect(said).toEqual({ status, logits: values.subarray(0, more === 0 ? first : logits), exchanged });
      expect(place).toEqual(more === 0 ? values.subarray(first) : new Float32Array(place.length));
    }
  }
});

const seen = { refused: 0, taken: 0 };

/** Numbers that may make sense, and bytes that need not be numbers. */
const number = fc.oneof(fc.integer({ min: -1, max: 9 }), fc.integer());
const nonsense = fc.oneof(
  fc.tuple(fc.array(number, { maxLength: NUMBERS_OF_A_COMMAND + 4 }), fc.nat(3)),
  // As long as some command, or as the head of what a rank says and what follows.
  fc.tuple(
    fc.array(fc.nat(6), { minLength: NUMBERS_OF_A_COMMAND, maxLength: NUMBERS_OF_A_COMMAND }),
    fc.constant(0),
  ),
  fc.tuple(fc.tuple(fc.nat(3), fc.nat(6)), fc.nat(6)),
);

function bytesOf([numbers, more]: readonly [readonly number[], number]): Uint8Array {
  const words = Int32Array.from(numbers);
  return Uint8Array.from([...new Uint8Array(words.buffer), ...new Uint8Array(more)]);
}

async function expectSense(hearing: Promise<unknown>): Promise<void> {
  try {
    await hearing;
    seen.taken++;
  } catch (error) {
    expect(error).toMatchObject({ code: "E_LINK" });
    seen.refused++;
  }
}

test("anything else is refused with a code, by ranks and of ranks, and no more is made room for than is due", async () => {
  const property = fc.asyncProperty(fc.array(nonsense, { minLength: 1, maxLength: 5 }), async (messages) => {
    const [[near, far], [engine, rank]] = [memoryLink(), memoryLink()];
    const [reader, ear] = [new CommandReader(far, limits), new RankEar(engine)];
    for (const message of messages) {
      // As long as a link brings them at all: it bounds what it brings.
      const bytes = bytesOf(message);
      await Promise.all([near.send(bytes), rank.send(bytes)]);
      await expectSense(reader.next());
      await expectSense(ear.next(() => 16));
    }
  });
  await fc.assert(property, { numRuns: 2000, seed: 5 });
  expect(seen.refused).toBeGreaterThan(2000);
  expect(seen.taken).toBeGreaterThan(100);
});
