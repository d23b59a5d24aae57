import { afterAll, describe, expect, test } from "vitest";
import {
  type BatchOptions,
  nativeAvailable,
  nativeInstructionSets,
  openNativeTraining,
  type TrainingDevice,
  type TrainingOptions,
} from "../../src/kernels/mod.ts";
import { ropeTable } from "../../src/model/mod.ts";
import { type AdapterShape, parameterLayout, trainingModel } from "../../src/train/layout.ts";
import { ReferenceExample } from "../../src/train/reference/example.ts";
import { lossBackward } from "../../src/train/reference/loss.ts";
import { referenceTraining } from "../../src/train/reference/mod.ts";
import { type Opened, open, someExamples, tiny } from "./model.ts";

const LENGTH = 70;
const batch: BatchOptions = {
  length: LENGTH,
  withGradient: true,
  weight: 1 / 100,
  exampleNorm: 0,
};
const adapter: AdapterShape = {
  rank: 3,
  alpha: 6,
  targets: ["q", "k", "v", "output", "gate", "up", "down"],
  freezeA: false,
};

const isas = nativeInstructionSets();
const devices: TrainingDevice[] = [];
const native = (threads: number, isa?: string): TrainingDevice => {
  const device = openNativeTraining({ threads, isa });
  devices.push(device);
  return device;
};
afterAll(() => {
  for (const device of devices) device.close();
});

const bits = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);

/** |a - b| / |b|. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] as number) - (b[i] as number)) ** 2;
    size += (b[i] as number) ** 2;
  }
  return Math.sqrt(difference / size);
}

/** The gradients of the examples in f64. */
function exactGradients(opened: Opened, examples: Int32Array, shape?: AdapterShape): Float64Array {
  const gradients = new Float64Array(opened.gradients.length);
  const arrays = {
    ...{
      parameters: Float64Array.from(opened.parameters),
      adapters: Float64Array.from(opened.adapters),
      gradients,
    },
    rope: Float64Array.from(ropeTable(tiny, tiny.context)),
  };
  for (let first = 0; first < examples.length; first += 2 * LENGTH) {
    const tokens = examples.subarray(first, first + LENGTH);
    const targets = examples.subarray(first + LENGTH, first + 2 * LENGTH);
    const example = new ReferenceExample(trainingModel(tiny, tiny.context, shape), arrays, tokens);
    const logits = example.forward();
    lossBackward(logits, { ...batch, targets, vocabulary: tiny.vocabulary, lesson: undefined });
    example.backward(logits);
  }
  return gradients;
}

test("the reference's whole gradient is what central differences in f64 say", () => {
  const examples = someExamples(1, LENGTH);
  const opened = open(referenceTraining);
  const gradient = exactGradients(opened, examples);
  const parameters = Float64Array.from(opened.parameters);
  const rope = Float64Array.from(ropeTable(tiny, tiny.context));
  const arrays = { parameters, adapters: new Float64Array(0), gradients: undefined, rope };
  const model = trainingModel(tiny, tiny.context);
  const loss = (): number => {
    const logits = new ReferenceExample(model, arrays, examples.subarray(0, LENGTH)).forward();
    const targets = examples.subarray(LENGTH, 2 * LENGTH);
    return (
      batch.weight *
      lossBackward(logits, { ...batch, targets, vocabulary: tiny.vocabulary, lesson: undefined }).loss
    );
  };
  const step = 1e-5;
  const { tensors } = parameterLayout(tiny);
  for (const { name, offset, rows, columns } of tensors.values()) {
    const place = offset + ((rows * columns) >> 1);
    const kept = parameters[place] as number;
    parameters[place] = kept + step;
    const above = loss();
    parameters[place] = kept - step;
    const below = loss();
    parameters[place] = kept;
    expect(gradient[place], name).toBeCloseTo((above - below) / (2 * step), 6);
  }
  expect(tensors.size).toBe(20);
});

describe.each(isas.map((isa) => [isa]))("native kernels: %s", (isa) => {
  const examples = someExamples(2, LENGTH);

  test("every tensor's gradient is the reference's", async () => {
    const opened = open(native(2, isa));
    const { loss, targets } = await opened.trainer.batch(examples, batch);
    const reference = open(referenceTraining);
    const expected = await reference.trainer.batch(examples, batch);
    expect(loss / targets).toBeCloseTo(expected.loss / expected.targets, 5);
    const exact = exactGradients(opened, examples);
    for (const { name, offset, rows, columns } of parameterLayout(tiny).tensors.values()) {
      const range = [offset, offset + rows * columns] as const;
      expect(distance(opened.gradients.subarray(...range), exact.subarray(...range)), name).toBeLessThan(
        2e-5,
      );
    }
  });

  test("adapters' gradients are the reference's, and A stays without one where it is frozen", async () => {
    const opened = open(native(1, isa), { adapter });
    await opened.trainer.batch(examples, batch);
    expect(distance(opened.gradients, exactGradients(opened, examples, adapter))).toBeLessThan(2e-5);
    const frozen = open(native(1, isa), { adapter: { ...adapter, freezeA: true } });
    await frozen.trainer.batch(examples, batch);
    const changed = frozen.gradients.filter((value, i) => value !== opened.gradients[i]);
    expect(changed.length).toBeGreaterThan(100);
    expect(changed.every((value) => value === 0)).toBe(true);
  });

  test.each(["f16", "bf16"] as const)(
    "activations kept as %s give the reference's gradient",
    async (activations) => {
      const [ours, theirs] = [
        open(native(2, isa), { activations }),
        open(referenceTraining, { activations }),
      ];
      const { loss } = await ours.trainer.batch(examples, batch);
      await theirs.trainer.batch(examples, batch);
      const plain = open(native(2, isa));
      // Only what the backward pass reads is rounded.
      expect(loss).toBe((await plain.trainer.batch(examples, batch)).loss);
      const lost = distance(plain.gradients, exactGradients(ours, examples));
      const rounded = distance(ours.gradients, plain.gradients);
      expect(rounded).toBeGreaterThan(10 * lost);
      // What is left is rounded here and there: the probabilities of attention, which the reference computes again.
      expect(distance(ours.gradients, theirs.gradients)).toBeLessThan(0.7 * rounded);
    },
  );

  test.each([
    { share: 0.7, temperature: 1, greedy: 0 },
    { share: 0.5, temperature: 0.4, greedy: 0.2 },
    { share: 1, temperature: 3, greedy: 0 },
    { share: 0, temperature: 1, greedy: 1 },
  ])("a teacher followed as in %o and clipped examples agree with the reference", async (numbers) => {
    const results = [];
    for (const device of [native(2, isa), referenceTraining]) {
      const options = { clipsExamples: true };
      const teacher = open(device, { ...options, adapter });
      const opened = open(device, options);
      const result = await opened.trainer.batch(examples, {
        ...{ ...batch, lesson: { teacher: teacher.trainer, ...numbers }, exampleNorm: 0.2 },
      });
      results.push({ ...result, gradients: opened.gradients });
    }
    const [ours, theirs] = results;
    expect(ours?.gradientNorm).toBeLessThanOrEqual(0.4);
    expect(ours?.loss).toBeCloseTo(theirs?.loss as number, 3);
    expect(ours?.agreed).toBe(theirs?.agreed);
    expect(distance(ours?.gradients as Float32Array, theirs?.gradients as Float32Array)).toBeLessThan(1e-4);
  });
});

describe.skipIf(!nativeAvailable())(
  "bits do not depend on how they are computed (needs the native core)",
  () => {
    interface Storage extends Partial<TrainingOptions> {
      readonly moments?: "f32" | "bf16";
    }

    /** Three updates of a model; its parameters and moments. */
    async function trained(device: TrainingDevice, storage: Storage = {}): Promise<Uint32Array> {
      const { trainer, parameters } = open(device, storage);
      const type = storage.moments ?? "f32";
      const words = type === "f32" ? parameters.length : Math.ceil(parameters.length / 2);
      const moments = {
        first: new Float32Array(words),
        second: new Float32Array(words),
        type,
        decayed: parameterLayout(tiny).decayed,
      };
      const numbers = { scale: 0.9, rate: 1e-2, decay: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
      for (let step = 1; step <= 3; step++) {
        await trainer.batch(someExamples(7, LENGTH), batch);
        const corrections = { correction1: 1 - 0.9 ** step, correction2: 1 - 0.95 ** step };
        await trainer.update(moments, { ...numbers, ...corrections });
      }
      return Uint32Array.of(...bits(parameters), ...bits(moments.first), ...bits(moments.second));
    }

    test("on any number of threads, with any instruction set, with layers kept or computed again", async () => {
      const expected = await trained(native(1));
      for (const threads of [2, 3, 5])
        expect(await trained(native(threads)), `${threads} threads`).toEqual(expected);
      for (const isa of isas) expect(await trained(native(2, isa)), isa).toEqual(expected);
      expect(await trained(native(2), { recompute: true }), "computed again").toEqual(expected);
      expect(isas.length).toBeGreaterThan(0);
    });

    test.each<Storage>([{ activations: "f16" }, { activations: "bf16" }, { moments: "bf16" }])(
      "with 16 bits kept as in %o, which are others than those of 32",
      async (storage) => {
        const expected = await trained(native(1), storage);
        expect(await trained(native(3), storage), "3 threads").toEqual(expected);
        for (const isa of isas) expect(await trained(native(2, isa), storage), isa).toEqual(expected);
        expect(await trained(native(1))).not.toEqual(expected);
      },
    );

    test("bf16 moments are the reference's, but for some that lay between two", async () => {
      const count = parameterLayout(tiny).count;
      const moments = async (device: TrainingDevice): Promise<Uint16Array> =>
        new Uint16Array((await trained(device, { moments: "bf16" })).slice(count).buffer);
      const [ours, theirs] = [await moments(native(2)), await moments(referenceTraining)];
      const apart = ours.map((each, i) => Math.abs(each - (theirs[i] as number)));
      expect(ours.length).toBeGreaterThan(2 * count - 1);
      expect(apart.filter((each) => each > 0).length).toBeLessThan(0.02 * ours.length);
      expect(apart.filter((each) => each > 1).length).toBeLessThan(0.002 * ours.length);
    });

    test("what the reference trains is close", async () => {
      const close = await trained(referenceTraining);
      const values = new Float32Array(close.buffer, close.byteOffset, close.length);
      const expected = await trained(native(2));
      expect(
        distance(values, new Float32Array(expected.buffer, expected.byteOffset, expected.length)),
      ).toBeLessThan(1e-3);
    });
  },
);
