/**
 * The rule for sharding: whatever a model is split into, its tokens and logits are those of one process, bit for bit.
 * Random models, splits and mixes of requests; every rank is a device of its own.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { startLocal } from "../../src/cluster/mod.ts";
import { createRuntime } from "../../src/engine/mod.ts";
import {
  type Device,
  type ExchangeCounts,
  type Executable,
  NO_EXCHANGES,
  nativeAvailable,
  openNativeDevice,
  operationsOf,
  type Program,
  type RankLink,
  ReferenceDevice,
  type StepLimits,
} from "../../src/kernels/mod.ts";
import {
  compile,
  type ModelDescription,
  type Placement,
  proportionalPlacement,
} from "../../src/model/mod.ts";
import { Random } from "../kernels/random.ts";
import { ofCases } from "../long.ts";
import { type Answers, answersOf, BATCH, CONTEXT, type Questions, ROWS, randomQuestions } from "./answers.ts";
import { type RandomModel, randomDescription, writeModel } from "./models.ts";
import { degreeMost, randomPlacement, randomShards, traitsOf } from "./placements.ts";

const formats = ["f16", "i8", "i4"] as const;

/** The reference takes ten times as long, and shows what it shows in few cases. */
const runs = nativeAvailable()
  ? { reference: 10, native: ofCases(100, 0.5), threaded: 10, mixed: 5 }
  : { reference: 40, native: 0, threaded: 0, mixed: 0 };

interface Case {
  readonly model: RandomModel;
  readonly placement: Placement;
  readonly questions: Questions;
  readonly format: (typeof formats)[number];
  readonly microBatchRows: number;
  readonly laneSequences: number;
}

function randomCase(random: Random, description = randomDescription(random)): Case {
  return {
    model: writeModel(description, random),
    placement: randomPlacement(description, random),
    questions: randomQuestions(description.vocabulary, random),
    format: random.pick(formats),
    microBatchRows: random.pick([1, 3, 100]),
    laneSequences: random.pick([1, 2, 100]),
  };
}

function optionsOf({ format }: Case): Parameters<typeof createRuntime>[2] {
  return { format, context: CONTEXT, batch: BATCH, rows: ROWS };
}

async function alone(of: Case, device: Device): Promise<Answers> {
  const { file } = of.model;
  try {
    const runtime = await createRuntime(device, file, optionsOf(of));
    return await answersOf(runtime, file.description.vocabulary, of.questions);
  } finally {
    device.close();
  }
}

interface Split {
  readonly openDevice: (rank: number) => Device;
  readonly wrapLink?: (link: RankLink, rank: number) => RankLink;
}

interface Seen {
  readonly cutSteps: number;
  readonly besideSteps: number;
  readonly exchanges: number;
  readonly messages: number;
}

async function split(of: Case, how: Split): Promise<Seen & { readonly answers: Answers }> {
  const { placement, microBatchRows, laneSequences, model } = of;
  const options = { ...optionsOf(of), placement, microBatchRows, laneSequences };
  const runtime = await startLocal(model.file, { ...options, ...how });
  try {
    const answers = await answersOf(runtime, model.file.description.vocabulary, of.questions);
    const counts = runtime.executables.map((each) => each.exchangeCounts?.());
    for (const [rank, own] of counts.entries()) expectSame(own, runtime.executable.exchangesOfRanks[rank]);
    const sum = (of: "exchanges" | "messages"): number =>
      counts.reduce((all, each) => all + (each?.[of] ?? 0), 0);
    const { cutSteps, besideSteps } = runtime.executable;
    return { answers, cutSteps, besideSteps, exchanges: sum("exchanges"), messages: sum("messages") };
  } finally {
    await runtime.close();
  }
}

/** What a rank's steps said of its exchanges adds up to what it counted itself. */
function expectSame(own: ExchangeCounts | undefined, said: ExchangeCounts | undefined): void {
  const { exchanges, messages, bytes, waitedSeconds } = own ?? NO_EXCHANGES;
  expect(said).toMatchObject({ exchanges, messages, bytes });
  expect(said?.waitedSeconds).toBeCloseTo(waitedSeconds, 6);
}

const seen = {
  cases: 0,
  uneven: 0,
  combined: 0,
  unlikeStages: 0,
  crossed: 0,
  severalRoots: 0,
  sharedKvHead: 0,
  wide: 0,
  deep: 0,
  cutSteps: 0,
  besideSteps: 0,
  exchanges: 0,
  messages: 0,
  tokens: 0,
  logits: 0,
};

function count(of: Case, answers: Answers, counts: Seen): void {
  const traits = traitsOf(of.model.file.description, of.placement);
  seen.cases++;
  if (traits.uneven) seen.uneven++;
  if (traits.combined) seen.combined++;
  if (traits.unlikeStages) seen.unlikeStages++;
  if (traits.crossed) seen.crossed++;
  if (traits.severalRoots) seen.severalRoots++;
  if (traits.sharedKvHead) seen.sharedKvHead++;
  if (traits.degree >= 5) seen.wide++;
  if (traits.stages >= 3) seen.deep++;
  seen.cutSteps += counts.cutSteps;
  seen.besideSteps += counts.besideSteps;
  seen.exchanges += counts.exchanges;
  seen.messages += counts.messages;
  seen.tokens += answers.events.flat().length;
  seen.logits += answers.logits.length;
}

async function agree(seed: number, openDevice: (rank: number) => Device): Promise<void> {
  const of = randomCase(new Random(seed));
  try {
    const expected = await alone(of, openDevice(0));
    const { answers, ...counts } = await split(of, { openDevice });
    expect(answers).toEqual(expected);
    count(of, answers, counts);
  } finally {
    of.model.remove();
  }
}

const reference = (): Device => new ReferenceDevice();
const native = (): Device => openNativeDevice({ threads: 1, pinThreads: "never" });
/** Every other rank has threads that wait while one of them exchanges. */
const threaded = (rank: number): Device => openNativeDevice({ threads: 1 + (rank % 2), pinThreads: "never" });

describe("a model that is split answers as one process does", () => {
  test("on the reference", async () => {
    const property = fc.asyncProperty(fc.nat(), (seed) => agree(seed, reference));
    await fc.assert(property, { numRuns: runs.reference, seed: 7, endOnFailure: true });
  });

  test.skipIf(!nativeAvailable())("on native devices (skipped where no native core is built)", async () => {
    const property = fc.asyncProperty(fc.nat(), (seed) => agree(seed, native));
    await fc.assert(property, { numRuns: runs.native, seed: 8, endOnFailure: true });
  });

  test.skipIf(!nativeAvailable())(
    "with several threads (skipped where no native core is built)",
    async () => {
      const property = fc.asyncProperty(fc.nat(), (seed) => agree(seed, threaded));
      await fc.assert(property, { numRuns: runs.threaded, seed: 10, endOnFailure: true });
    },
  );

  test.skipIf(!nativeAvailable())(
    "on both kinds at once (skipped where no native core is built)",
    async () => {
      const property = fc.asyncProperty(fc.nat(), (seed) =>
        agree(seed, (rank) => (rank % 2 === 0 ? native() : reference())),
      );
      await fc.assert(property, { numRuns: runs.mixed, seed: 9, endOnFailure: true });
    },
  );

  test("the splits were of every kind", () => {
    expect(seen.cases).toBe(Object.values(runs).reduce((all, each) => all + each));
    // Of 40 cases at least.
    expect(seen.uneven).toBeGreaterThan(10);
    expect(seen.combined).toBeGreaterThan(6);
    expect(seen.unlikeStages).toBeGreaterThan(2);
    expect(seen.crossed).toBeGreaterThan(4);
    expect(seen.severalRoots).toBeGreaterThan(6);
    expect(seen.sharedKvHead).toBeGreaterThan(2);
    expect(seen.wide).toBeGreaterThan(2);
    expect(seen.deep).toBeGreaterThan(5);
    expect(seen.cutSteps).toBeGreaterThan(50);
    expect(seen.besideSteps).toBeGreaterThan(50);
    // By compute threads.
    expect(seen.exchanges).toBeGreaterThan(200 * runs.native - 1);
    expect(seen.messages).toBeGreaterThan(200 * runs.native - 1);
    expect(seen.tokens).toBeGreaterThan(200);
    expect(seen.logits).toBeGreaterThan(500);
  });
});

/** Four KV heads and as many FFN segments: a shard of one, of one, and of two. */
const fourSegments: ModelDescription = {
  ...randomDescription(new Random(1)),
  ...{ layers: 2, width: 32, heads: 4, kvHeads: 4, headDim: 32, ffnWidth: 4 * 32, vocabulary: 40 },
};

describe("a split that is wrong is noticed", () => {
  function wrongCase(): Case {
    const random = new Random(5);
    const of = randomCase(random, fourSegments);
    const placement = proportionalPlacement(fourSegments, { stages: [1], shards: [1, 1, 2] });
    return { ...of, placement, format: "f16" };
  }

  async function differs(how: Split): Promise<void> {
    const of = wrongCase();
    try {
      const expected = await alone(of, reference());
      expect((await split(of, { openDevice: reference })).answers).toEqual(expected);
      expect((await split(of, how)).answers).not.toEqual(expected);
    } finally {
      of.model.remove();
    }
  }

  test("when two shards' sums are added in each other's place", async () => {
    await differs({ openDevice: (rank) => (rank === 0 ? new SwappedRoots() : reference()) });
  });

  test("when one bit of one sum is another", async () => {
    let messages = 0;
    const wrapLink = (link: RankLink): RankLink => ({
      ...link,
      receive: async (into) => {
        await link.receive(into);
        // Above the last bits, which may be rounded away.
        if (messages++ % 20 === 0) into[2] = (into[2] ?? 0) ^ 1;
      },
    });
    await differs({ openDevice: reference, wrapLink });
    expect(messages).toBeGreaterThan(20);
  });
});

/** Takes what it receives of its two peers' partial sums for each other's. */
class SwappedRoots extends ReferenceDevice {
  override prepare(program: Program, limits: StepLimits, links?: readonly RankLink[]): Executable {
    const tape = program.tape.slice();
    const roots = operationsOf(tape).filter(
      ({ name, operands }) =>
        name === "RECEIVE" && program.buffers[operands[0] ?? 0]?.name.startsWith("partials"),
    );
    expect(roots.length).toBe(2 * 2 * fourSegments.layers);
    for (let i = 0; i < roots.length; i += 2) {
      const [a, b] = [roots[i]?.operands, roots[i + 1]?.operands];
      if (a === undefined || b === undefined) throw new Error("Each exchange has two peers.");
      [a[5], b[5]] = [b[5] ?? 0, a[5] ?? 0];
    }
    return super.prepare({ ...program, tape }, limits, links);
  }
}

describe("what a model refuses", () => {
  /** SmolLM-135M's shape. */
  const small = {
    ...fourSegments,
    name: "135M",
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    width: 576,
    ffnWidth: 1536,
  };

  test("a degree it has no segments for says which it has", () => {
    for (const shards of [[1, 1, 1, 1], new Array<number>(100).fill(1), []]) {
      expect(() => proportionalPlacement(small, { stages: [1], shards })).toThrow(
        expect.objectContaining({
          code: "E_PLACEMENT",
          message: expect.stringContaining("3 attention segments (9 heads, 3 KV heads)"),
        }),
      );
    }
    expect(proportionalPlacement(small, { stages: [1], shards: [1, 1, 1] }).stages[0]?.shards).toHaveLength(
      3,
    );
  });

  test("placements that leave something out, hold it twice, or have an empty rank", async () => {
    let refused = 0;
    for (let seed = 0; seed < 200; seed++) {
      const random = new Random(seed);
      const description = randomDescription(random);
      const placement = spoiled(randomPlacement(description, random), random);
      const model = { description } as RandomModel["file"];
      const options = { ...optionsOf({ format: "i8" } as Case), placement, openDevice: reference };
      await expect(startLocal(model, options)).rejects.toMatchObject({ code: "E_PLACEMENT" });
      refused++;
    }
    expect(refused).toBe(200);
    expect(() => proportionalPlacement(small, { stages: [1, 1, 1], shards: [1] })).toThrow("2 layers");
    expect(() => proportionalPlacement(small, { stages: [1, 0], shards: [1] })).toThrow("positive");
  });

  test("more shards than segments, whatever the model", () => {
    for (let seed = 0; seed < 100; seed++) {
      const random = new Random(seed);
      const description = randomDescription(random);
      const shards = new Array<number>(degreeMost(description) + 1).fill(1);
      if (shards.length > 8) continue;
      expect(() => proportionalPlacement(description, { stages: [1], shards })).toThrow("cannot be split");
    }
  });
});

/** One range of a placement, changed by one at an end. */
function spoiled({ stages }: Placement, random: Random): Placement {
  const stage = random.between(0, stages.length - 1);
  const moved = ([first, end]: readonly [number, number]): readonly [number, number] =>
    random.chance(2) ? [first, end + random.pick([-1, 1])] : [first + random.pick([-1, 1]), end];
  return {
    stages: stages.map((given, i) => {
      if (i !== stage) return given;
      if (random.chance(4)) return { ...given, layers: moved(given.layers) };
      if (random.chance(8)) return { ...given, shards: [] };
      const shard = random.between(0, given.shards.length - 1);
      const part = random.pick(["attention", "ffn", "vocabulary"] as const);
      return {
        ...given,
        shards: given.shards.map((held, s) => (s === shard ? { ...held, [part]: moved(held[part]) } : held)),
      };
    }),
  };
}

test("adapters are refused where a model is split over processes", async () => {
  const description = randomDescription(new Random(7));
  const placement = proportionalPlacement(description, { stages: [1], shards: [1] });
  const options = {
    ...optionsOf({ format: "i8" } as Case),
    placement,
    openDevice: () => new ReferenceDevice(),
  };
  const adapters = [{ rank: 1, scale: 1, matrices: new Map(), digest: "00" }];
  const started = startLocal({ description } as RandomModel["file"], { ...options, adapters });
  await expect(started).rejects.toMatchObject({ code: "E_PLACEMENT" });
});

describe("slices", () => {
  test("ranks hold every weight and every KV head once", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = new Random(seed);
      // A single KV head is in every shard, and a tied embedding in the first stage and in the last.
      const shape = { kvHeads: 4, heads: 8, tiedOutput: random.chance(2) };
      const description = { ...randomDescription(random), ...shape };
      const layers = [0, description.layers] as const;
      const shards = randomShards(description, random.between(1, degreeMost(description)), random);
      const placement = shape.tiedOutput
        ? { stages: [{ layers, shards }] }
        : randomPlacement(description, random);
      const whole = proportionalPlacement(description, { stages: [1], shards: [1] });
      expect(heldBy(description, placement)).toEqual(heldBy(description, whole));
    }
  });

  test("what shards share is in each of them", () => {
    const description = { ...fourSegments, heads: 8, kvHeads: 1, tiedOutput: true };
    const ranks = compile(description, {
      format: "i8",
      placement: proportionalPlacement(description, { stages: [1, 1], shards: [1, 1] }),
    });
    expect(ranks.map(({ kv }) => kv)).toEqual(ranks.map(() => ({ layers: 1, heads: 1, headDim: 32 })));
    const embedded = ranks.map(({ matrices }) => matrices.some(({ name }) => name === "token_embd.weight"));
    expect(embedded).toEqual([true, true, true, true]);
    expect(ranks.map(({ logits }) => logits)).toEqual([undefined, undefined, [0, 20], [20, 40]]);
    expect(ranks.map(({ peers }) => peers)).toEqual([
      [1, 2],
      [0, 3],
      [0, 3],
      [1, 2],
    ]);
  });
});

/** Weights held of each matrix over all ranks, and keys' heads. */
function heldBy(description: ModelDescription, placement: Placement): Record<string, number> {
  const held: Record<string, number> = { kv: 0 };
  for (const { matrices, kv } of compile(description, { format: "i8", placement })) {
    held["kv"] = (held["kv"] ?? 0) + kv.layers * kv.heads;
    for (const { name, rowRange, segmentRange, columns, segments } of matrices) {
      const width = (columns / segments) * (segmentRange[1] - segmentRange[0]);
      held[name] = (held[name] ?? 0) + width * (rowRange[1] - rowRange[0]);
    }
  }
  return held;
}
